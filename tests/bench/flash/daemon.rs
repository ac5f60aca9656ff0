//! A greylet with a folder, perhaps under strace: asked, saved, ended, and what it has written.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::address::Address;
use crate::process::Process;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that are sent at once; neither they nor the answers fill a socket's buffer.
const REQUESTS_AT_ONCE: usize = 32;

/// Who counts or slows down its fsyncs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strace {
    No,
    Count,
    /// Each takes five seconds longer.
    Slow,
}

/// See the [module](self); killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    folder: PathBuf,
    /// How often it has said that it has saved.
    saves: Arc<AtomicUsize>,
}

impl Daemon {
    /// Starts one with a folder, which may have been another one's. Returns when it has answered.
    pub(crate) fn start(
        binary: &Path,
        folder: &Path,
        options: &[&str],
        strace: Strace,
    ) -> Result<Daemon, String> {
        let failed = |error: std::io::Error| format!("cannot start greylet, or strace: {error}");
        fs::create_dir_all(folder).map_err(failed)?;
        let _ = fs::remove_file(folder.join("socket"));
        let errors = File::create(folder.join("errors")).map_err(failed)?;
        let mut command = match strace {
            Strace::No => Command::new(binary),
            Strace::Count | Strace::Slow => {
                let mut command = Command::new("strace");
                command.args(["-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync"]);
                if strace == Strace::Slow {
                    command.arg("--inject=fsync,fdatasync:delay_enter=5000000");
                }
                command.arg("-o").arg(folder.join("fsyncs")).arg(binary);
                command
            }
        };
        command
            .args(["serve", "--trust-test-time"])
            .arg(format!("--unix={}", folder.join("socket").display()))
            .arg(format!("--dbdir={}", folder.join("state").display()))
            .args(options)
            .stdin(Stdio::null())
            // A file would be written by it, too.
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command.spawn().map_err(failed)?;
        let saves = Arc::new(AtomicUsize::new(0));
        if let Some(log) = child.stdout.take() {
            let saves = Arc::clone(&saves);
            thread::spawn(move || {
                let lines = BufReader::new(log).lines().map_while(Result::ok);
                for _ in lines.filter(|line| line.contains("saved to")) {
                    saves.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let daemon = Daemon {
            child,
            folder: folder.to_owned(),
            saves,
        };
        let answered = wait_for("an answer", Duration::from_micros(200), || {
            daemon.ask([b"request=none\n\n".to_vec()]).ok()
        });
        answered.map_err(|message| format!("{message}: {}", daemon.errors()))?;
        Ok(daemon)
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.folder.join("socket"))
    }

    /// Asks; gives how the answers begin.
    pub(crate) fn ask(
        &self,
        requests: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Vec<String>, String> {
        let failed = |error: std::io::Error| format!("greylet does not answer: {error}");
        let mut stream = self.address().connect().map_err(failed)?;
        let mut answers = Vec::new();
        let requests: Vec<_> = requests.into_iter().collect();
        for some in requests.chunks(REQUESTS_AT_ONCE) {
            stream.write_all(&some.concat()).map_err(failed)?;
            let mut text = Vec::new();
            let mut input = [0; 8_192];
            while text.windows(2).filter(|pair| pair == b"\n\n").count() < some.len() {
                let bytes = stream.read(&mut input).map_err(failed)?;
                if bytes == 0 {
                    return Err("greylet does not answer".to_owned());
                }
                text.extend_from_slice(&input[..bytes]);
            }
            let text = String::from_utf8_lossy(&text);
            let actions = text.split_terminator("\n\n");
            answers.extend(actions.map(|answer| answer.replacen("action=", "", 1)));
        }
        Ok(answers)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(self.pid()?, signal).map_err(|error| format!("cannot signal greylet: {error}"))
    }

    /// Waits until it says for the nth time that it has saved.
    pub(crate) fn wait_for_save(&self, number: usize) -> Result<(), String> {
        wait_for("a save", Duration::from_millis(2), || {
            (self.saves() >= number).then_some(())
        })
    }

    pub(crate) fn saves(&self) -> usize {
        self.saves.load(Ordering::SeqCst)
    }

    /// What it has had the kernel write to disk, in bytes.
    pub(crate) fn write_bytes(&self) -> Result<u64, String> {
        Process::new(self.pid()?.as_raw().unsigned_abs()).written_bytes()
    }

    /// How many it has called; only if they are counted.
    pub(crate) fn fsyncs(&self) -> usize {
        let text = fs::read_to_string(self.folder.join("fsyncs")).unwrap_or_default();
        text.lines().filter(|line| line.contains("sync(")).count()
    }

    /// Ends it, and tells how long that took.
    pub(crate) fn stop(mut self) -> Result<Duration, String> {
        let start = Instant::now();
        self.signal(Signal::SIGTERM)?;
        self.child.wait().map_err(|error| error.to_string())?;
        Ok(start.elapsed())
    }

    fn pid(&self) -> Result<Pid, String> {
        let text = fs::read_to_string(self.folder.join("state/lock")).unwrap_or_default();
        let pid = text.trim().parse().map_err(|_| "greylet has no lock")?;
        Ok(Pid::from_raw(pid))
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("errors")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // strace alone would leave it running. It may have ended already.
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), self.pid()) {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn wait_for<T>(
    what: &str,
    pause: Duration,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(it) = ready() {
            return Ok(it);
        }
        thread::sleep(pause);
    }
    Err(format!("waited in vain for {what}"))
}
