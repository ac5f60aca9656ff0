//! System calls fail, one after the other and in every way that the kernel has for a full disk, a worn one, too few descriptors or a peer
//! that has gone: greylet starts or says why not, goes on or ends in good order, never answers wrongly, and never forgets what a save that it
//! said was done has contained.
//!
//! strace makes them fail. By default a fixed choice of the failures is tried, with `GREYLET_FAULTS=all` every one; `GREYLET_FAULT` tries those
//! that begin with it, as `rename:error=EIO`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{PATIENCE, Scratch, greylet, remembering, request, say};

const ERRORS: [&str; 6] = ["ENOSPC", "EIO", "EMFILE", "ENOBUFS", "EPIPE", "EINTR"];

/// Calls that cannot fail so, or have no answer to it but the end of the process: memory, threads and their locks, signal masks, ids, random
/// numbers, the end itself.
const NOT_FAILING: [&str; 31] = [
    "arch_prctl",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "getegid",
    "geteuid",
    "getrandom",
    "getgid",
    "getpid",
    "gettid",
    "getuid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "prctl",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "umask",
];

/// The first call that is greylet's own: what the loader and the run-time library do before is not tried.
const FIRST_OWN: &str = "signalfd4";

/// How long a failure that does not end may keep an answer from coming.
const SHORT_PATIENCE: Duration = Duration::from_millis(400);

/// What is asked about.
struct Mail {
    sender: &'static str,
    recipient: &'static str,
}

/// What passed before there were any faults, what passes under them, and what is let through by an order.
const KNOWN: Mail = Mail {
    sender: "known@s.example",
    recipient: "b@r.example",
};
const NEW: Mail = Mail {
    sender: "new@s.example",
    ..KNOWN
};
const ALLOWED: Mail = Mail {
    sender: "other@s.example",
    recipient: "allowed@r.example",
};

/// Which of the calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// One.
    Once(usize),
    /// Every second one from there on.
    EverySecond(usize),
    /// All from there on.
    All(usize),
}

/// A kind of failure.
#[derive(Clone, Debug)]
struct Fault {
    call: String,
    error: &'static str,
    when: When,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { call, error, when } = self;
        write!(f, "{call}:error={error}:when=")?;
        match when {
            When::Once(number) => write!(f, "{number}"),
            When::EverySecond(number) => write!(f, "{number}+2"),
            When::All(number) => write!(f, "{number}+"),
        }
    }
}

impl Fault {
    fn is_over(&self) -> bool {
        matches!(self.when, When::Once(_))
    }

    fn patience(&self) -> Duration {
        if self.is_over() {
            PATIENCE
        } else {
            SHORT_PATIENCE
        }
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

/// Until something is so, or no longer than that.
fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A greylet in a folder, with or without strace before it; its log is a file.
struct Daemon<'s> {
    child: Child,
    folder: &'s Scratch,
}

impl Daemon<'_> {
    fn start<'s>(folder: &'s Scratch, traced: Option<&[String]>) -> Daemon<'s> {
        let plain = greylet();
        let command = match traced {
            None => plain,
            Some(options) => {
                let mut command = Command::new("strace");
                // With -D the child is greylet itself.
                command
                    .args(["-D", "-f", "-qq", "-o", &folder.path("trace")])
                    .args(options)
                    .arg(plain.get_program());
                command.env_remove("JOURNAL_STREAM");
                command
            }
        };
        let log = File::options()
            .append(true)
            .create(true)
            .open(folder.path("log"));
        let log = log.expect("a log");
        let unix = format!("--unix={}", folder.path("socket"));
        let options = [
            "--lookup-by-host",
            "--auto-whitelist-clients=0",
            "--hostname=gw.example",
            &unix,
        ];
        let child = remembering(command, &folder.path("state"), &options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        Daemon { child, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path("log")).expect("UTF-8")
    }

    fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    fn connect(&mut self) -> Option<UnixStream> {
        let mut stream = None;
        let path = self.folder.path("socket");
        wait_until(PATIENCE, || {
            stream = UnixStream::connect(&path).ok();
            stream.is_some() || self.ended().is_some()
        });
        stream
    }

    /// The first word of the action, as Postfix gets it: when a connection breaks it asks once more. None if it does not get any.
    fn ask(&mut self, mail: Mail, time: u64, patience: Duration) -> Option<String> {
        let time = time.to_string();
        let question = request(&[
            ("client_name", Some("unknown")),
            ("sender", Some(mail.sender)),
            ("recipient", Some(mail.recipient)),
            ("policy_test_time", Some(&time)),
        ]);
        for _ in 0..3 {
            let mut stream = self.connect()?;
            stream.set_read_timeout(Some(patience)).expect("a timeout");
            let mut reply = String::new();
            let is_sent = stream.write_all(question.as_bytes()).is_ok();
            let read = BufReader::new(stream).read_line(&mut reply);
            if is_sent && read.is_ok() && reply.ends_with('\n') {
                let action = reply.trim_end().strip_prefix("action=");
                let action = action.unwrap_or_else(|| panic!("a strange reply: {reply:?}"));
                return action.split(' ').next().map(str::to_owned);
            }
        }
        None
    }

    /// Orders that [`ALLOWED`] be let through; tells whether that is said to be done.
    fn order(&self, patience: Duration) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.folder.path("state/control")) else {
            return false;
        };
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        let order = format!(
            "request=allow\nrecipient={}\nfor_seconds=86400\n\n",
            ALLOWED.recipient
        );
        let mut reply = String::new();
        let is_sent = stream.write_all(order.as_bytes()).is_ok();
        let read = BufReader::new(stream).read_line(&mut reply);
        is_sent && read.is_ok() && reply.ends_with('\n') && reply.starts_with("done=")
    }

    /// Ends it with SIGTERM, or if it does not take that, with SIGKILL, which gives none.
    fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        let patience = PATIENCE / 4;
        let is_over = wait_until(patience, || self.ended().is_some());
        let status = self.ended();
        if !is_over {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is wrong with how it went, if anything.
type Outcome = Result<(), String>;

fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(what()) }
}

/// What must be known for ever, once a save is done.
struct Promised {
    /// Whether the order was carried out.
    is_allowed: bool,
    /// How long the log was when the save was asked for.
    log_bytes: usize,
}

/// Start, requests, an order, a save, a reload, the end; and a new start without faults, in which everything must be known.
fn run(options: &[String], fault: Option<&Fault>, folder: &Scratch, snapshot: &[u8]) -> Outcome {
    fs::create_dir_all(folder.path("state")).expect("a folder");
    fs::write(folder.path("state/snapshot"), snapshot).expect("there is room");
    let patience = fault.map_or(PATIENCE, Fault::patience);
    let is_over = fault.is_none_or(Fault::is_over);
    let mut daemon = Daemon::start(folder, Some(options));
    let now = now();
    let asked = daemon.ask(KNOWN, now, patience);
    let mut promised = None;
    if let Some(status) = daemon.ended() {
        ensure(status.code() == Some(1), || {
            format!("the start ends with {status}: {}", daemon.log())
        })?;
    } else {
        ensure(!is_over || asked.is_some(), || "no answer".into())?;
        if asked.is_some() {
            promised = serve(&mut daemon, now, patience, is_over, asked.as_deref())?;
        }
        if let Some(status) = daemon.stop() {
            ensure(matches!(status.code(), Some(0 | 1)), || {
                format!("it ends with {status}: {}", daemon.log())
            })?;
        } else {
            ensure(!is_over, || {
                format!("SIGTERM does not end it: {}", daemon.log())
            })?;
        }
    }
    let log = daemon.log();
    ensure(!log.contains("panicked"), || log.clone())?;
    drop(daemon);
    let saved = promised.filter(|promised| log[promised.log_bytes..].contains("saved to"));
    ensure(fault.is_some() || saved.is_some(), || log.clone())?;
    let mut after = Daemon::start(folder, None);
    let known = after.ask(KNOWN, now + 400, PATIENCE);
    let is_set_aside = is_kept_aside(folder, snapshot) && is_loss_told(&log);
    ensure(known.as_deref() == Some("DUNNO") || is_set_aside, || {
        format!(
            "who was known gets {known:?} after a new start: {log}{}",
            after.log()
        )
    })?;
    let Some(Promised { is_allowed, .. }) = saved else {
        return Ok(());
    };
    ensure(fault.is_some() || is_allowed, || log.clone())?;
    for (mail, is_promised) in [(NEW, true), (ALLOWED, is_allowed)] {
        let what = format!("mail of {}, which was saved,", mail.sender);
        let action = after.ask(mail, now + 400, PATIENCE);
        ensure(!is_promised || action.as_deref() == Some("DUNNO"), || {
            format!(
                "{what} gets {action:?} after a new start: {log}{}",
                after.log()
            )
        })?;
    }
    Ok(())
}

/// Whether the log says that something is forgotten, or may be.
fn is_loss_told(log: &str) -> bool {
    log.contains("nothing is known") || log.contains("cannot read")
}

fn is_kept_aside(folder: &Scratch, snapshot: &[u8]) -> bool {
    let names = ["snapshot.damaged.1", "snapshot.damaged.2"];
    names.iter().any(|name| {
        let kept = fs::read(folder.path(&format!("state/{name}")));
        kept.is_ok_and(|kept| kept.starts_with(snapshot))
    })
}

/// Asks and asks again, orders, saves and reloads; tells what has been promised before the save, if who was new has passed.
fn serve(
    daemon: &mut Daemon<'_>,
    now: u64,
    patience: Duration,
    is_over: bool,
    known: Option<&str>,
) -> Result<Option<Promised>, String> {
    // Who has been forgotten waits once more, and is told of.
    let is_right = known == Some("DUNNO")
        || known == Some("DEFER_IF_PERMIT") && wait_until(PATIENCE, || is_loss_told(&daemon.log()));
    ensure(is_right, || {
        format!("who was known gets {known:?}: {}", daemon.log())
    })?;
    for (time, right) in [
        (now, &["DEFER_IF_PERMIT"][..]),
        (now + 200, &["DEFER_IF_PERMIT"]),
        // The header went out on a connection that broke.
        (now + 301, &["PREPEND", "DUNNO"]),
        (now + 302, &["DUNNO"]),
    ] {
        match daemon.ask(NEW, time, patience) {
            Some(action) => ensure(right.contains(&&action[..]), || {
                format!("who is new gets {action} after {} s", time - now)
            })?,
            None if is_over => return Err("no answer".into()),
            None => return Ok(None),
        }
    }
    let is_allowed = daemon.order(patience);
    if is_allowed {
        let action = daemon.ask(ALLOWED, now + 303, patience);
        let is_right = action
            .as_deref()
            .map_or(!is_over, |action| action == "DUNNO");
        ensure(is_right, || format!("who is allowed gets {action:?}"))?;
    }
    let log_bytes = daemon.log().len();
    daemon.signal(Signal::SIGUSR1);
    let is_told = |daemon: &Daemon<'_>| {
        daemon.log().contains("saved to") || daemon.log().contains("cannot save")
    };
    wait_until(SHORT_PATIENCE, || is_told(daemon));
    daemon.signal(Signal::SIGHUP);
    wait_until(SHORT_PATIENCE, || daemon.log().contains("HUP received"));
    let promised = Some(Promised {
        is_allowed,
        log_bytes,
    });
    match daemon.ask(NEW, now + 303, patience).as_deref() {
        Some("DUNNO") => Ok(promised),
        None if !is_over => Ok(promised),
        // Without signals it could not be stopped in good order, so it stops at once.
        None if daemon.log().contains("cannot take signals any more") => Ok(promised),
        other => Err(format!(
            "who has passed gets {other:?} after a save and a reload"
        )),
    }
}

/// A snapshot in which one is known.
fn snapshot() -> Vec<u8> {
    let folder = Scratch::new("faultsbefore");
    let mut daemon = Daemon::start(&folder, None);
    let past = now() - 700;
    let actions = [0, 301].map(|age| daemon.ask(KNOWN, past + age, PATIENCE));
    assert_eq!(actions[1].as_deref(), Some("PREPEND"), "{}", daemon.log());
    assert!(daemon.stop().is_some_and(|status| status.success()));
    fs::read(folder.path("state/snapshot")).expect("a snapshot")
}

/// The same with a damage in it, of which a copy is kept, and after which the next save is a full one into a new file.
fn damaged(snapshot: &[u8]) -> Vec<u8> {
    [snapshot, b"damage", snapshot].concat()
}

/// How often each call is made, by the loader and in all; threads are not told apart.
type Calls = BTreeMap<String, (usize, usize)>;

/// What is called when nothing fails.
fn recorded(snapshot: &[u8]) -> Calls {
    let folder = Scratch::new("faultsrecord");
    let outcome = run(&[], None, &folder, snapshot);
    assert_eq!(outcome, Ok(()));
    let trace = fs::read_to_string(folder.path("trace")).expect("a trace");
    let mut calls = Calls::new();
    let mut is_ours = false;
    for line in trace.lines() {
        let Some((_, text)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, _)) = text.trim_start().split_once('(') else {
            continue;
        };
        is_ours |= call == FIRST_OWN;
        let count = calls.entry(call.to_owned()).or_default();
        count.0 += usize::from(!is_ours);
        count.1 += 1;
    }
    assert!(is_ours, "no {FIRST_OWN} in {trace}");
    calls.retain(|call, count| {
        let is_name = call
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name && count.1 > count.0 && !NOT_FAILING.contains(&&call[..])
    });
    calls
}

/// The faults to be tried.
fn faults(calls: &Calls, is_all: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, (call, &(before, count))) in calls.iter().enumerate() {
        for (turn, error) in ERRORS.into_iter().enumerate() {
            let first = before + 1;
            let mut whens = vec![
                When::Once(first),
                When::EverySecond(first),
                When::All(first),
            ];
            if error == "EINTR" {
                // No call is interrupted for ever.
                whens.pop();
            }
            if is_all {
                // What other threads do is counted by itself.
                whens.extend(
                    (1..=count)
                        .filter(|&number| number != first && (number > before || before == 0))
                        .map(When::Once),
                );
            } else {
                whens = vec![whens[(index + turn) % whens.len()]];
            }
            faults.extend(whens.into_iter().map(|when| Fault {
                call: call.clone(),
                error,
                when,
            }));
        }
    }
    faults
}

fn try_one(fault: &Fault, index: usize, snapshot: &[u8]) -> Outcome {
    let options = [
        "-e".to_owned(),
        format!("trace={}", fault.call),
        "-e".to_owned(),
        format!("inject={fault}"),
    ];
    let folder = Scratch::new(&format!("faults{index}"));
    run(&options, Some(fault), &folder, snapshot)
}

#[test]
fn system_calls_that_fail() {
    let is_there = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status();
    if !is_there.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("GREYLET_REQUIRE_STRACE").is_none(),
            "strace is missing, or may not trace"
        );
        say("SKIPPED system calls that fail: needs strace");
        return;
    }
    let is_all = std::env::var_os("GREYLET_FAULTS").is_some_and(|which| which == "all");
    let only = std::env::var("GREYLET_FAULT").ok();
    let whole = snapshot();
    let damaged = damaged(&whole);
    let calls = recorded(&whole);
    let mut calls_when_damaged = recorded(&damaged);
    assert!(calls_when_damaged.contains_key("rename"));
    if !is_all {
        calls_when_damaged.retain(|call, _| !calls.contains_key(call));
    }
    let with = |snapshot, calls| {
        let faults = faults(calls, is_all).into_iter();
        faults.map(move |fault| (fault, snapshot))
    };
    let mut faults: Vec<(Fault, &[u8])> = with(&whole[..], &calls)
        .chain(with(&damaged, &calls_when_damaged))
        .collect();
    faults.retain(|(fault, _)| {
        only.as_deref()
            .is_none_or(|only| fault.to_string().starts_with(only))
    });
    assert!(!faults.is_empty(), "no fault is named so");
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(ref fault, snapshot)) = faults.get(index) else {
                return;
            };
            if let Err(what) = try_one(fault, index, snapshot) {
                let kind = if snapshot == whole {
                    "whole"
                } else {
                    "damaged"
                };
                failures
                    .lock()
                    .expect("no panic")
                    .push(format!("{fault}, with a {kind} snapshot: {what}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().expect("no panic");
    let made: BTreeSet<_> = calls.keys().chain(calls_when_damaged.keys()).collect();
    say(&format!("{} calls, {} faults", made.len(), faults.len()));
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        faults.len(),
        failures.join("\n")
    );
}
