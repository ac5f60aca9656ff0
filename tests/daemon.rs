//! Being a daemon: the background, the pidfile, another user, and Exim's one answer. What needs root is skipped, with a line that says
//! so, when this is not root.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Group, Pid, User, geteuid, getsid};
use support::{Client, PATIENCE, Scratch, Server, greylet, request, run};

/// A daemon in the background, killed at the end.
struct Daemon {
    pid: Pid,
    has_ended: bool,
}

impl Daemon {
    /// Starts one in a folder, with the socket `policy` and the pidfile `pid` there; gives also what it said.
    fn start(folder: &Scratch, options: &[&str]) -> (Daemon, Output) {
        // So that its end, too, can be waited for here.
        set_child_subreaper(true).expect("every Linux can");
        // This waits until nobody has the streams any more, the daemon neither.
        let output = greylet()
            .args(["serve", "--dbdir=", "-d", "--unix=policy", "--pidfile=pid"])
            .args(options)
            .current_dir(folder)
            .output()
            .expect("it ends");
        assert!(output.status.success(), "{output:?}");
        let pid = fs::read_to_string(folder.path("pid")).expect("the pidfile");
        let daemon = Daemon {
            pid: Pid::from_raw(pid.trim_end().parse().expect("a number")),
            has_ended: false,
        };
        assert_eq!(pid, format!("{}\n", daemon.pid));
        (daemon, output)
    }

    /// Ends it; gives its exit status.
    fn stop(mut self) -> i32 {
        kill(self.pid, Signal::SIGTERM).expect("it is running");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).expect("it is ours") {
                WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(5)),
                WaitStatus::Exited(_, status) => {
                    self.has_ended = true;
                    return status;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("SIGTERM does not end it");
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

fn defers(socket: &str) -> bool {
    Client::unix(socket)
        .ask(request(&[]))
        .starts_with("DEFER_IF_PERMIT ")
}

/// The exit code and all that it says of a start that fails.
fn failure(words: &[&str]) -> (i32, String) {
    let output = run(words, b"");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("an exit code"), errors)
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("skipped: this needs root");
    }
    is_root
}

fn exists(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[test]
fn in_the_background() {
    let scratch = Scratch::new("background");
    let (daemon, output) = Daemon::start(&scratch, &[]);
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    let mode = fs::metadata(scratch.path("pid"))
        .expect("the pidfile")
        .mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(getsid(Some(daemon.pid)), Ok(daemon.pid));
    for (name, target) in [
        ("cwd", "/"),
        ("fd/0", "/dev/null"),
        ("fd/1", "/dev/null"),
        ("fd/2", "/dev/null"),
    ] {
        let link = fs::read_link(daemon.proc(name)).expect("it is there");
        assert_eq!(link, Path::new(target), "{name}");
    }
    assert!(defers(&scratch.path("policy")));
    assert_eq!(daemon.stop(), 0);
    assert!(!exists(&scratch.path("policy")) && !exists(&scratch.path("pid")));
    assert_eq!(fs::read_dir(&scratch).expect("the folder").count(), 0);
}

#[test]
fn what_keeps_a_daemon_from_starting_is_said_at_the_terminal() {
    let scratch = Scratch::new("nodaemon");
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = format!("--inet={}", holder.local_addr().expect("an address"));
    let pidfile = format!("--pidfile={}", scratch.path("pid"));
    let unix = format!("--unix={}", scratch.path("policy"));
    let (code, error) = failure(&["serve", "--dbdir=", "-d", &unix, &taken, &pidfile]);
    assert_eq!(code, 1);
    assert!(error.contains("another program listens there"), "{error}");
    let (code, error) = failure(&[
        "serve",
        "--dbdir=",
        "--daemonize",
        "--facility=post",
        &pidfile,
    ]);
    assert_eq!(code, 2);
    assert!(error.contains("local7"), "{error}");
    for word in ["-d", "-v"] {
        let folder = format!("--pidfile={}", scratch.as_ref().display());
        let nowhere = format!("--pidfile={}", scratch.path("nowhere/pid"));
        for (pidfile, said) in [(folder, "not a regular file"), (nowhere, "No such file")] {
            let (code, error) = failure(&["serve", "--dbdir=", word, &unix, &pidfile]);
            assert_eq!(code, 1);
            let path = pidfile.trim_start_matches("--pidfile=");
            assert!(error.contains(said) && error.contains(path), "{error}");
        }
    }
    assert_eq!(fs::read_dir(&scratch).expect("the folder").count(), 0);
}

#[test]
fn warnings_are_seen_before_it_goes_to_the_background() {
    let scratch = Scratch::new("warnings");
    let (daemon, output) = Daemon::start(&scratch, &["--noaction"]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("--noaction does nothing"), "{said}");
    assert!(defers(&scratch.path("policy")));
    assert_eq!(daemon.stop(), 0);
}

/// Neither that of a process that is gone nor that of one that lives, nor what is no number.
/// What a service manager that has this socket is told.
fn told(manager: &UnixDatagram) -> String {
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    let mut message = [0; 64];
    let bytes = manager.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..bytes]).into_owned()
}

#[test]
fn a_service_manager_is_told_that_it_listens() {
    let folder = Scratch::new("notify");
    let path = folder.path("notify");
    let name = format!("greylet-notify-{}", std::process::id());
    let abstract_address = SocketAddr::from_abstract_name(&name).expect("an address");
    for (manager, variable) in [
        (UnixDatagram::bind(&path), path.clone()),
        (
            UnixDatagram::bind_addr(&abstract_address),
            format!("@{name}"),
        ),
    ] {
        let manager = manager.expect("a socket");
        let socket = folder.path("policy");
        let mut command = greylet();
        command
            .args(["serve", "--dbdir=", &format!("--unix={socket}")])
            .env("NOTIFY_SOCKET", &variable)
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("greylet starts");
        // Without looking at the log: what is ordered after it does not, either.
        let (message, is_served) = (told(&manager), defers(&socket));
        child.kill().expect("it is running");
        child.wait().expect("it ends");
        assert_eq!(message, "READY=1", "{variable}");
        assert!(is_served, "{variable}");
        // One that cannot listen never says that it does.
        let output = greylet()
            .args(["serve", "--dbdir=", "--unix=/nowhere/policy"])
            .env("NOTIFY_SOCKET", &variable)
            .output()
            .expect("it ends");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        manager.set_nonblocking(true).expect("it can be set");
        assert!(manager.recv(&mut [0; 64]).is_err());
    }
}

/// It serves all the same.
#[test]
fn a_service_manager_that_cannot_be_told_is_logged() {
    let folder = Scratch::new("notify-deaf");
    let full = folder.path("full");
    let _manager = full_queue(&full);
    for variable in ["/nowhere/notify", full.as_str()] {
        let mut command = greylet();
        command
            .args(["serve", "--dbdir=", "--inet=127.0.0.1:0"])
            .env("NOTIFY_SOCKET", variable);
        let mut server = Server::start_command(command, 1);
        let is_about_it = |line: &&String| line.contains("cannot tell the service manager");
        // It is on the other stream, and may come before the line that the start waits for.
        let line = match server.log.iter().find(is_about_it) {
            Some(line) => line.clone(),
            None => server.wait_for("cannot tell the service manager"),
        };
        assert!(
            line.contains(&format!("NOTIFY_SOCKET={variable} ")),
            "{line}"
        );
        assert!(
            server
                .connect()
                .ask(request(&[]))
                .starts_with("DEFER_IF_PERMIT")
        );
    }
}

/// A socket that takes no more messages: whoever sends one waits.
fn full_queue(path: &str) -> UnixDatagram {
    let manager = UnixDatagram::bind(path).expect("a socket");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("it can be set");
    while sender.send_to(b"STATUS=", path).is_ok() {}
    manager
}

#[test]
fn no_pidfile_blocks_a_start() {
    let scratch = Scratch::new("pidfile");
    let path = scratch.path("pid");
    let option = format!("--pidfile={path}");
    let ours = std::process::id().to_string();
    for content in ["999999999\n", &ours, "1", "", "nonsense"] {
        fs::write(&path, content).expect("a pidfile");
        let mut server = Server::start(&[&option]);
        let written = fs::read_to_string(&path).expect("the pidfile");
        assert_eq!(written, format!("{}\n", server.pid()));
        assert!(server.stop(Signal::SIGTERM).success());
        assert!(!exists(&path));
    }
    let mut first = Server::start(&[&option]);
    let mut second = Server::start(&[&option]);
    assert!(first.stop(Signal::SIGTERM).success());
    let left = fs::read_to_string(&path).expect("the second one's");
    assert_eq!(left, format!("{}\n", second.pid()));
    assert!(second.stop(Signal::SIGTERM).success());
    assert!(!exists(&path));
}

/// The ids in every thread's status: real, effective, saved, and that for files; and the groups.
fn assert_ids(pid: Pid, user: u32, group: u32) {
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("threads") {
        let path = task.expect("a thread").path().join("status");
        let status = fs::read_to_string(path).expect("it is running");
        let ids = |name: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.expect("such a line").split_whitespace();
            words.map(|id| id.parse().expect("a number")).collect()
        };
        assert_eq!(ids("Uid:"), [user; 4]);
        assert_eq!(ids("Gid:"), [group; 4]);
        assert_eq!(ids("Groups:"), [group]);
    }
}

#[test]
fn another_user() {
    if !is_root() {
        return;
    }
    let nobody = User::from_name("nobody").expect("users").expect("nobody");
    let (user, group) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    let other = Group::from_name("daemon")
        .expect("groups")
        .expect("daemon")
        .gid;
    for (options, user, group) in [
        (&["--user=nobody"][..], user, group),
        (&["--user=nobody", "--group=daemon"], user, other.as_raw()),
        (&["--user=54321", "--group=12345"], 54_321, 12_345),
        (&["--group=12345"], 0, 12_345),
    ] {
        let scratch = Scratch::new("user");
        let unix = format!("--unix={}", scratch.path("policy"));
        let mut server = Server::start_on(&[&unix], options);
        assert_ids(server.pid(), user, group);
        let socket = fs::metadata(scratch.path("policy")).expect("the socket");
        assert_eq!((socket.uid(), socket.gid()), (user, group));
        assert_eq!(socket.permissions().mode() & 0o777, 0o666);
        assert!(defers(&scratch.path("policy")));
        assert!(server.stop(Signal::SIGTERM).success(), "{:?}", server.log);

        let (daemon, _) = Daemon::start(&scratch, options);
        assert_ids(daemon.pid, user, group);
        assert!(defers(&scratch.path("policy")));
        assert_eq!(daemon.stop(), 0);
        // In a folder of root's the user can only empty the one and leave the other, and root replaces both.
        if user == 0 {
            assert!(!exists(&scratch.path("pid")));
        } else {
            let left = fs::read(scratch.path("pid")).expect("the pidfile");
            assert_eq!(left, b"");
        }
        let (daemon, _) = Daemon::start(&scratch, &[]);
        assert!(defers(&scratch.path("policy")));
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn users_that_are_not() {
    for (option, said) in [
        (
            "--user=no-such-user",
            "--user=no-such-user: there is no user",
        ),
        (
            "--group=no-such-group",
            "--group=no-such-group: there is no group",
        ),
    ] {
        for word in ["-d", "-v"] {
            let (code, error) = failure(&["serve", "--dbdir=", word, "--inet=127.0.0.1:0", option]);
            assert_eq!(code, 2);
            assert!(error.contains(said), "{error}");
        }
    }
}

#[test]
fn only_root_becomes_another_user() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("notroot");
    // Where cargo builds may be closed to others. Not fs::copy: what other tests start meanwhile would have the copy open
    // for writing for a moment, and such a file cannot be executed.
    let program = scratch.path("greylet");
    let mut cp = Command::new("cp");
    let status = cp.args([env!("CARGO_BIN_EXE_greylet"), &program]).status();
    assert!(status.expect("cp starts").success());
    let as_nobody = |options: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["serve", "--dbdir=", "--inet=127.0.0.1:0"])
            .args(options);
        command.uid(65_534).gid(65_534);
        command
    };
    for option in ["--user=root", "--group=root"] {
        for word in ["-d", "-v"] {
            let output = as_nobody(&[word, option]).output().expect("it ends");
            assert_eq!(output.status.code(), Some(1));
            let error = String::from_utf8(output.stderr).expect("UTF-8");
            assert!(error.contains("only root can"), "{error}");
        }
    }
    let command = as_nobody(&["--user=65534", "--group=65534"]);
    let mut server = Server::start_command(command, 1);
    assert!(server.stop(Signal::SIGTERM).success());
}

#[test]
fn exim_gets_one_answer() {
    let mut server = Server::start(&["--exim"]);
    for _ in 0..2 {
        let mut client = server.connect();
        assert!(client.ask(request(&[])).starts_with("DEFER_IF_PERMIT "));
        assert_eq!(client.rest(), b"");
    }
    // What is sent after it is not answered, and does not keep the answer from arriving.
    let mut client = server.connect();
    client.send(request(&[]).repeat(100));
    assert!(client.action().starts_with("DEFER_IF_PERMIT "));
    assert_eq!(client.rest(), b"");
    assert!(server.stop(Signal::SIGTERM).success());
    let counted = |line: &String| line.starts_with("3 requests answered");
    assert!(server.log.iter().any(counted), "{:?}", server.log);
}
