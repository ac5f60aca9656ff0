//! A greylet that is attacked, and what it holds.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::honest::Honest;
use crate::support::{Client, PATIENCE, Scratch, greylet, say};

/// What an attack may leave behind that the one before it has not, in kB: pages of the table, and what the kernel's count is off by.
const KEPT_KB_MAX: u64 = 200;

/// Where it listens.
#[derive(Clone)]
pub(crate) struct Doors {
    tcp: SocketAddr,
    unix: String,
}

impl Doors {
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).expect("greylet takes connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        stream
    }

    pub(crate) fn unix(&self) -> UnixStream {
        UnixStream::connect(&self.unix).expect("greylet takes connections")
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::tcp(self.tcp)
    }

    pub(crate) fn unix_client(&self) -> Client<UnixStream> {
        Client::unix(&self.unix)
    }
}

/// What becomes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogReader {
    /// It is read.
    Reads,
    /// It stays, and reads nothing more.
    Stuck,
    /// It has gone.
    Gone,
}

/// A running greylet, killed at the end. It believes in test times.
pub(crate) struct Target {
    child: Child,
    pub(crate) doors: Doors,
    honest: Honest<TcpStream>,
    /// Its memory before any attack, in kB.
    before_kb: u64,
    /// Who reads nothing.
    _log: Option<BufReader<ChildStdout>>,
    _scratch: Scratch,
}

impl Target {
    /// Starts one with a TCP port and a Unix socket.
    pub(crate) fn start(name: &str, options: &[&str]) -> Target {
        Target::start_with_log(name, options, LogReader::Reads)
    }

    pub(crate) fn start_with_log(name: &str, options: &[&str], reader: LogReader) -> Target {
        let scratch = Scratch::new(name);
        let unix = scratch.path("policy");
        let mut child = greylet()
            .args([
                "serve",
                "--dbdir=",
                "--inet=127.0.0.1:0",
                "--trust-test-time",
            ])
            .args(["--auto-whitelist-clients=0", &format!("--unix={unix}")])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("greylet starts");
        let mut log = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut next_endpoint = || loop {
            let mut line = String::new();
            let bytes = log.read_line(&mut line).expect("UTF-8");
            assert_ne!(bytes, 0, "it ended before it listened");
            if let Some((_, endpoint)) = line.split_once("listening on ") {
                return endpoint.trim_end().to_owned();
            }
        };
        let tcp = next_endpoint()
            .parse()
            .expect("the TCP address comes first");
        assert_eq!(next_endpoint(), format!("unix:{unix}"));
        let log = match reader {
            LogReader::Stuck => Some(log),
            LogReader::Gone => {
                drop(log);
                None
            }
            LogReader::Reads => {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut log, &mut std::io::sink());
                });
                None
            }
        };
        let doors = Doors { tcp, unix };
        let mut target = Target {
            child,
            honest: Honest::new(doors.client(), name),
            doors,
            before_kb: 0,
            _log: log,
            _scratch: scratch,
        };
        target.honest.send_mail();
        target.before_kb = target.highest_kb();
        target
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// A client that has been there before any attack.
    pub(crate) fn honest(&mut self) -> &mut Honest<TcpStream> {
        &mut self.honest
    }

    /// The most memory that it has ever had, in kB.
    fn highest_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.expect("Linux says it").parse().expect("a number")
    }

    /// It lives, answers those who were there and those who come now, and has never had more memory than that, which is about twice
    /// what was seen.
    pub(crate) fn assert_unharmed(&mut self, attack: &str, growth_kb_max: u64) {
        self.assert_serves(attack);
        let growth_kb = self.highest_kb() - self.before_kb;
        say(&format!(
            "{attack}: {} kB before, at most {growth_kb} kB more",
            self.before_kb
        ));
        assert!(growth_kb <= growth_kb_max, "{attack}: {growth_kb} kB more");
    }

    /// The same for an attack of many connections, and then once more: whatever it kept of those who have gone would show in that it needs more.
    pub(crate) fn assert_unharmed_twice(
        &mut self,
        attack: &str,
        growth_kb_max: u64,
        run: impl Fn(&mut Target),
    ) {
        run(self);
        self.assert_unharmed(attack, growth_kb_max);
        let before_kb = self.highest_kb();
        run(self);
        self.assert_serves(attack);
        let kept_kb = self.highest_kb() - before_kb;
        say(&format!("{attack}, once more: {kept_kb} kB more"));
        assert!(kept_kb <= KEPT_KB_MAX, "{attack}, once more: {kept_kb} kB");
    }

    fn assert_serves(&mut self, attack: &str) {
        let ended = self.child.try_wait().expect("it can be asked for");
        assert_eq!(ended, None, "{attack}");
        self.honest.send_mail();
        Honest::new(self.doors.client(), attack).send_mail();
        Honest::new(self.doors.unix_client(), attack).send_mail();
    }

    /// Ends it.
    pub(crate) fn stop(mut self) {
        kill(self.pid(), Signal::SIGTERM).expect("it is running");
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the connection ends, which it must.
pub(crate) fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        // What was sent and not read makes the end a reset.
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "no end: {error}");
    }
    rest
}
