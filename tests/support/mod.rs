//! The real binary, for tests that talk to it.

// Each test program uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a test waits for what must come; only a failing test ever does.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The binary that this is the test of.
pub fn greylet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greylet"));
    command.env_remove("JOURNAL_STREAM");
    command.env_remove("NOTIFY_SOCKET");
    command
}

/// Makes a command that runs greylet one that keeps its snapshot in a folder, but saves only when told, and believes in test times.
pub fn remembering(mut command: Command, folder: &str, options: &[&str]) -> Command {
    command
        .args([
            "serve",
            "--inet=127.0.0.1:0",
            "--trust-test-time",
            "--save-interval=0",
        ])
        .arg(format!("--dbdir={folder}"))
        .args(options);
    command
}

/// Runs a command that ends by itself, with something on standard input.
pub fn run(words: &[&str], input: &[u8]) -> Output {
    let mut child = greylet()
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("greylet starts");
    // It may end without reading all.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("greylet ends")
}

/// Prints a line; what the macros print is shown only for tests that fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A folder of the test's own, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder; its path is short enough for a Unix socket in it.
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("greylet-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch folder");
        Scratch(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a UTF-8 path").to_owned()
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `greylet serve`, killed at the end.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    /// Where it listens, as it says itself.
    pub listening: Vec<String>,
    /// What it has logged, both streams mixed.
    pub log: Vec<String>,
}

impl Server {
    /// Starts one on a free port of 127.0.0.1 and waits until it listens.
    pub fn start(options: &[&str]) -> Server {
        Server::start_on(&["--inet=127.0.0.1:0"], options)
    }

    /// Starts one that keeps its snapshot in a folder, but saves only when told, and believes in test times.
    pub fn start_in(folder: &str, options: &[&str]) -> Server {
        Server::start_command(remembering(greylet(), folder, options), 1)
    }

    /// Starts one on the endpoints given. It keeps nothing, unless the options name a folder.
    pub fn start_on(endpoints: &[&str], options: &[&str]) -> Server {
        let mut command = greylet();
        command
            .args(["serve", "--dbdir="])
            .args(endpoints)
            .args(options);
        Server::start_command(command, endpoints.len())
    }

    /// Starts a prepared command that is to listen on so many endpoints.
    pub fn start_command(mut command: Command, endpoints: usize) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("greylet starts");
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        let readers = streams
            .into_iter()
            .map(|stream| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        // Nobody listens any more when the test is over.
                        let _ = sender.send(line);
                    }
                })
            })
            .collect();
        let mut server = Server {
            child,
            lines,
            readers,
            listening: Vec::new(),
            log: Vec::new(),
        };
        while server.listening.len() < endpoints {
            let line = server.wait_for("listening on ");
            let (_, endpoint) = line.split_once("listening on ").expect("as waited for");
            server.listening.push(endpoint.to_owned());
        }
        server
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Waits for a new line of the log that contains a text.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("the log never said {text:?}, but: {:#?}", self.log);
            });
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for a new line of the log that contains a text, or for the end, which gives none.
    pub fn wait_for_or_end(&mut self, text: &str) -> Option<String> {
        while let Ok(line) = self.lines.recv() {
            self.log.push(line.clone());
            if line.contains(text) {
                return Some(line);
            }
        }
        None
    }

    /// A connection to the first TCP address.
    pub fn connect(&self) -> Client<TcpStream> {
        Client::tcp(self.listening[0].parse().expect("a TCP address"))
    }

    /// Has it save, and waits until it says that it has.
    pub fn save(&mut self) -> String {
        kill(self.pid(), Signal::SIGUSR1).expect("it is running");
        self.wait_for("saved to")
    }

    /// Ends it with a signal; gives its exit status, with all that it has logged in `log`.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).expect("it is running");
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it can be waited for");
        for reader in self.readers.drain(..) {
            reader.join().expect("the log was read");
        }
        self.log.extend(self.lines.try_iter());
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to a policy server.
pub struct Client<S> {
    reader: BufReader<S>,
}

impl Client<TcpStream> {
    /// A connection to a TCP port.
    pub fn tcp(address: SocketAddr) -> Client<TcpStream> {
        let stream = TcpStream::connect(address).expect("greylet takes connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        Client::new(stream)
    }
}

impl Client<UnixStream> {
    /// A connection to a Unix socket.
    pub fn unix(path: &str) -> Client<UnixStream> {
        let stream = UnixStream::connect(path).expect("greylet takes connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        Client::new(stream)
    }
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Client<S> {
        Client {
            reader: BufReader::new(stream),
        }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut S {
        self.reader.get_mut()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream()
            .write_all(bytes.as_ref())
            .expect("the bytes are taken");
    }

    /// Reads one reply, with the blank line at its end.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        while !reply.ends_with("\n\n") {
            let read = self.reader.read_line(&mut reply).expect("a reply");
            assert_ne!(read, 0, "the connection was closed after {reply:?}");
        }
        reply
    }

    /// Reads one reply and gives its action.
    pub fn action(&mut self) -> String {
        let reply = self.reply();
        let action = reply
            .strip_prefix("action=")
            .and_then(|it| it.strip_suffix("\n\n"));
        action
            .unwrap_or_else(|| panic!("a strange reply: {reply:?}"))
            .to_owned()
    }

    /// Asks, and gives the action.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.send(request);
        self.action()
    }

    /// Waits for the end of the connection; gives what came before it.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            // What was sent and not read makes the end a reset.
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end: {error}");
        }
        rest
    }
}

/// A request with the attributes of the recorded cases, changed or left out (`None`).
pub fn request(changes: &[(&str, Option<&str>)]) -> String {
    let base = [
        ("request", "smtpd_access_policy"),
        ("client_name", "mail.example.com"),
        ("client_address", "192.0.2.1"),
        ("sender", "a@s.example"),
        ("recipient", "b@r.example"),
    ];
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = base.iter().filter(|(name, _)| !is_changed(name)).copied();
    let changed = changes
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    let lines: String = kept
        .chain(changed)
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    lines + "\n"
}
