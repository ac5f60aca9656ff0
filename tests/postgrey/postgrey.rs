//! The real Postgrey: Debian's package, as a child process on a Unix socket, with a database of its own that ends with it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Scratch, say};

const PROGRAM: &str = "/usr/sbin/postgrey";

/// Runs a command until its own standard input ends or names a signal, and removes the folder. Postgrey would stay if a signal
/// ended the tests, which drops nothing.
const KEEPER: &str = r#""$@" & read signal; kill -${signal:-KILL} $!; wait; rm -rf "$0""#;

/// See the [module](self).
pub(crate) struct Postgrey {
    keeper: Child,
    scratch: Scratch,
}

/// The version of the Postgrey that is installed, if there is one that runs.
pub(crate) fn version() -> Option<&'static str> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        Some(said.strip_prefix("postgrey ")?.trim().to_owned())
    };
    VERSION.get_or_init(ask).as_deref()
}

/// Whether there is none; says so, and fails if it must be there.
pub(crate) fn is_missing() -> bool {
    if version().is_some() {
        return false;
    }
    let line = "there is no Postgrey that runs: greylet is not tested beside it (tests/postgrey)";
    for variable in ["CI", "GREYLET_REQUIRE_POSTGREY"] {
        assert!(std::env::var_os(variable).is_none(), "{variable}: {line}");
    }
    say(line);
    true
}

/// The name of the user or group that this runs as.
fn name_of(option: &str) -> String {
    let output = Command::new("id").arg(option).output().expect("id runs");
    let name = String::from_utf8(output.stdout).expect("UTF-8");
    name.trim().to_owned()
}

impl Postgrey {
    /// Starts one, and waits until it takes connections.
    pub(crate) fn start(options: &[String]) -> Postgrey {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("postgrey-{number}"));
        let log = File::create(scratch.path("log")).expect("a file for the log");
        // In a process group of its own, or Ctrl-C would end it with the tests.
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, &scratch.path(""), PROGRAM])
            .arg(format!("--unix={}", scratch.path("socket")))
            .arg(format!("--dbdir={}", scratch.path("")))
            // It changes to this user even if it already is.
            .arg(format!("--user={}", name_of("-un")))
            .arg(format!("--group={}", name_of("-gn")))
            .args(options)
            // The header's date is in local time.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log once more"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let postgrey = Postgrey { keeper, scratch };
        postgrey.wait_until_it_accepts();
        postgrey
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> String {
        self.scratch.path("socket")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.scratch.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it as it should be, so that its database is whole.
    #[allow(dead_code, reason = "tests/postfix has no use for its database")]
    pub(crate) fn stop(mut self) {
        let mut stdin = self.keeper.stdin.take().expect("a pipe");
        stdin.write_all(b"TERM\n").expect("the keeper is there");
        let deadline = Instant::now() + PATIENCE;
        while self.keeper.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < deadline, "postgrey stays");
            // A signal that comes just before it waits for requests is noticed at the next one.
            let _ = UnixStream::connect(self.scratch.path("socket"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_until_it_accepts(&self) {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            assert!(
                Instant::now() < deadline,
                "postgrey does not listen: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Postgrey {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("postgrey's log:\n{}", self.log());
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
