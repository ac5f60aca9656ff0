//! What survives a restart, where it is kept, and what greylet does with a snapshot that is not as it was left, or a disk that takes none. What needs root,
//! or a mount of its own, is skipped with a line that says so where that is not to be had.

mod support;

use std::fs::{self, Permissions};
use std::hash::Hasher;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use siphasher::sip::SipHasher24;
use support::{Scratch, Server, greylet, remembering, request, run};

/// Nobody; greylet needs no entry in /etc/passwd.
const OTHER_USER: u32 = 65_534;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

/// The answer about a mail from a sender, asked at a time.
fn ask_at(server: &Server, sender: &str, time: u64) -> String {
    let time = time.to_string();
    let changes = [
        ("sender", Some(sender)),
        ("policy_test_time", Some(&time[..])),
    ];
    server.connect().ask(request(&changes))
}

/// The same now.
fn ask(server: &Server, sender: &str) -> String {
    server.connect().ask(request(&[("sender", Some(sender))]))
}

/// Has a mail from a sender pass for the first time, some minutes ago.
fn pass(server: &Server, sender: &str) {
    let first = now() - 700;
    assert!(ask_at(server, sender, first).starts_with("DEFER_IF_PERMIT "));
    assert!(ask_at(server, sender, first + 301).starts_with("PREPEND "));
}

fn is_known(server: &Server, sender: &str) -> bool {
    let action = ask(server, sender);
    assert!(action == "DUNNO" || action.starts_with("DEFER_IF_PERMIT "));
    action == "DUNNO"
}

fn has_line(server: &Server, text: &str) -> bool {
    server.log.iter().any(|line| line.contains(text))
}

/// Waits for a line, which may be there already: standard output and standard error are two pipes, so their lines come in any order.
fn must_say(server: &mut Server, text: &str) {
    if !has_line(server, text) {
        server.wait_for(text);
    }
}

/// The exit code and what it says of a start that fails.
fn failure(words: &[&str]) -> (i32, String) {
    let output = run(words, b"");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("an exit code"), errors)
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// A snapshot in a new folder, of three saves: of a@s.example, of b@s.example, and of nothing more.
fn make_snapshot(folder: &str) -> Vec<u8> {
    let mut server = Server::start_in(folder, &[]);
    pass(&server, "a@s.example");
    server.save();
    pass(&server, "b@s.example");
    assert!(server.stop(Signal::SIGTERM).success());
    fs::read(format!("{folder}/snapshot")).expect("a snapshot")
}

/// Where the blocks of a kind begin.
fn blocks(snapshot: &[u8], kind: u8) -> Vec<usize> {
    let places = snapshot.windows(9).enumerate();
    places
        .filter(|(_, bytes)| bytes[..4] == *b"\xfagrl" && bytes[8] == kind)
        .map(|(place, _)| place)
        .collect()
}

const HEAD: u8 = 1;
const ENTRIES: u8 = 3;

#[test]
fn a_restart_forgets_nothing() {
    let scratch = Scratch::new("restart");
    let folder = scratch.path("state");
    let options = ["--lookup-by-subnet", "--greylist-text=wait %s"];
    let mut server = Server::start_in(&folder, &options);
    assert!(has_line(
        &server,
        &format!("no snapshot in {folder}: nothing is known yet")
    ));
    let now = now();
    // Four first passes, which are counted once an hour.
    for (name, hours) in [("ann", 5), ("ben", 4), ("cid", 3), ("dora", 2)] {
        let (sender, time) = (format!("{name}@s.example"), now - hours * 3_600);
        assert_eq!(ask_at(&server, &sender, time), "DEFER_IF_PERMIT wait 300");
        assert!(ask_at(&server, &sender, time + 300).starts_with("PREPEND "));
    }
    let pending_since = now - 200;
    assert!(ask_at(&server, "pending@s.example", pending_since).starts_with("DEFER_IF_PERMIT "));
    assert!(server.stop(Signal::SIGTERM).success());
    let snapshot = format!("{folder}/snapshot");
    let bytes = fs::metadata(&snapshot).expect("a snapshot").len();
    assert!(
        has_line(
            &server,
            &format!("saved to {snapshot}: {bytes} bytes of {bytes}")
        ),
        "{:?}",
        server.log
    );

    let mut server = Server::start_in(&folder, &options);
    // Four triplets, the count, the pending one.
    assert!(has_line(&server, &format!("6 entries from {snapshot}")));
    assert!(is_known(&server, "ann@s.example") && is_known(&server, "dora@s.example"));
    assert_eq!(
        ask_at(&server, "pending@s.example", pending_since + 100),
        "DEFER_IF_PERMIT wait 200"
    );
    let action = ask_at(&server, "pending@s.example", pending_since + 301);
    assert!(
        action.starts_with("PREPEND X-Greylist: delayed 301 seconds"),
        "{action}"
    );
    // That was the fifth.
    assert!(is_known(&server, "never-seen@s.example"));
    assert!(server.stop(Signal::SIGTERM).success());
    let server = Server::start_in(&folder, &options);
    assert!(is_known(&server, "another@s.example"));
}

#[test]
fn sigusr1_saves_at_once() {
    let scratch = Scratch::new("usr1");
    let folder = scratch.path("state");
    let mut server = Server::start_in(&folder, &[]);
    pass(&server, "a@s.example");
    let pending_since = now() - 100;
    ask_at(&server, "pending@s.example", pending_since);
    let full = server.save();
    pass(&server, "b@s.example");
    let batch = server.save();
    // The second one was appended.
    let bytes_of = |line: &str| -> Vec<u64> {
        let words = line.split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (full, batch) = (bytes_of(&full), bytes_of(&batch));
    assert_eq!((full.len(), batch.len()), (2, 2));
    assert_eq!((full[0], full[0] + batch[0]), (full[1], batch[1]));
    assert!(!server.stop(Signal::SIGKILL).success());
    let server = Server::start_in(&folder, &[]);
    assert!(is_known(&server, "a@s.example") && is_known(&server, "b@s.example"));
    let action = ask_at(&server, "pending@s.example", pending_since + 300);
    assert!(action.starts_with("PREPEND "), "{action}");
}

#[test]
fn one_shot_spam_is_no_reason_to_write() {
    let scratch = Scratch::new("oneshot");
    let folder = scratch.path("state");
    let snapshot = format!("{folder}/snapshot");
    let mut server = Server::start_in(&folder, &["--save-interval=1"]);
    let mut spam = 0..;
    let mut sizes = Vec::new();
    for round in 0..3 {
        for number in spam.by_ref().take(200) {
            let action = ask(&server, &format!("spam.number.x{number}@s.example"));
            assert!(action.starts_with("DEFER_IF_PERMIT "), "{action}");
        }
        pass(&server, &format!("honest{round}@s.example"));
        server.wait_for("saved to");
        sizes.push(fs::metadata(&snapshot).expect("a snapshot").len());
    }
    // 200 pending entries alone would have 2,600 bytes.
    assert!(sizes[0] < 300, "{sizes:?}");
    assert!(
        sizes.windows(2).all(|pair| pair[1] - pair[0] < 250),
        "{sizes:?}"
    );
    let saves = |line: &&String| line.contains("saved to");
    assert_eq!(server.log.iter().filter(saves).count(), 3);
}

/// A nightly restart, or a respawn, must not fill the flash with what waits.
#[test]
fn restarts_do_not_make_the_file_grow() {
    let scratch = Scratch::new("restarts");
    let folder = scratch.path("state");
    let mut largest_bytes = 0;
    for restart in 0..12 {
        let mut server = Server::start(&[&format!("--dbdir={folder}")]);
        let mut client = server.connect();
        for number in 0..500 {
            let sender = format!("s{restart}x{number}@spam.example");
            client.ask(request(&[("sender", Some(&sender))]));
        }
        drop(client);
        assert!(server.stop(Signal::SIGTERM).success());
        let length = std::fs::metadata(format!("{folder}/snapshot")).expect("a snapshot");
        largest_bytes = largest_bytes.max(length.len());
    }
    // All 6,000 once, and again as much appended.
    assert!(largest_bytes < 2 * 6_000 * 16, "{largest_bytes}");
}

/// Whatever becomes of the file meanwhile, the end of the program does not lose what is known.
#[test]
fn a_file_that_somebody_has_changed_is_written_anew() {
    let changes: [fn(&str); 3] = [
        |path| fs::remove_file(path).expect("it is there"),
        |path| fs::write(path, "x").expect("it can be written"),
        |path| fs::write(path, "").expect("it can be written"),
    ];
    for change in changes {
        let scratch = Scratch::new("changed");
        let folder = scratch.path("state");
        let mut server = Server::start_in(&folder, &[]);
        pass(&server, "first@s.example");
        kill(server.pid(), Signal::SIGUSR1).expect("it is running");
        server.wait_for("saved to");
        change(&format!("{folder}/snapshot"));
        pass(&server, "second@s.example");
        assert!(server.stop(Signal::SIGTERM).success());
        let server = Server::start_in(&folder, &[]);
        assert!(is_known(&server, "first@s.example") && is_known(&server, "second@s.example"));
    }
}

#[test]
fn without_a_folder_nothing_is_kept() {
    let scratch = Scratch::new("nothing");
    let mut command = remembering(greylet(), "", &[]);
    command.current_dir(&scratch);
    let mut server = Server::start_command(command, 1);
    pass(&server, "a@s.example");
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(!has_line(&server, "saved to"));
    assert_eq!(names_in(&scratch.path("")), [""; 0]);
}

#[test]
fn a_folder_has_one_greylet() {
    let scratch = Scratch::new("two");
    let folder = scratch.path("state");
    let mut first = Server::start_in(&folder, &[]);
    let given = format!("--dbdir={folder}");
    let words = ["serve", "--inet=127.0.0.1:0", &given];
    let (code, error) = failure(&words);
    assert_eq!(code, 1);
    let said = format!(
        "{folder} is in use by another greylet, process {}:",
        first.pid()
    );
    assert!(error.contains(&said), "{error}");
    pass(&first, "a@s.example");
    assert!(first.stop(Signal::SIGTERM).success());
    // What the first one has left does not lock.
    assert_eq!(names_in(&folder), ["lock", "snapshot"]);
    let server = Server::start_in(&folder, &[]);
    assert!(is_known(&server, "a@s.example"));
    let process = fs::read_to_string(format!("{folder}/lock")).expect("the lock");
    assert_eq!(process, format!("{}\n", server.pid()));
}

#[test]
fn nobody_else_may_look() {
    let scratch = Scratch::new("modes");
    let folder = scratch.path("deeper/state");
    make_snapshot(&folder);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(format!("{folder}/snapshot")), 0o600);
    assert_eq!(mode(format!("{folder}/lock")), 0o600);
    // A folder that somebody has made stays as it is.
    let made = scratch.path("made");
    fs::create_dir(&made).expect("a folder");
    fs::set_permissions(&made, Permissions::from_mode(0o750)).expect("its mode");
    make_snapshot(&made);
    assert_eq!(mode(&made), 0o750);
    assert_eq!(mode(format!("{made}/snapshot")), 0o600);
}

#[test]
fn the_folder_is_the_users() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("owner");
    let folder = scratch.path("state");
    let user = format!("--user={OTHER_USER}");
    let group = format!("--group={OTHER_USER}");
    let options = [&user[..], &group[..]];
    let mut server = Server::start_in(&folder, &options);
    pass(&server, "a@s.example");
    assert!(server.stop(Signal::SIGTERM).success());
    for name in ["", "/lock", "/snapshot"] {
        let file = fs::metadata(format!("{folder}{name}")).expect("it is there");
        assert_eq!((file.uid(), file.gid()), (OTHER_USER, OTHER_USER));
    }
    let server = Server::start_in(&folder, &options);
    assert!(is_known(&server, "a@s.example"));
}

#[test]
fn the_folders_above_can_be_gone_through() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("above");
    let folder = scratch.path("above/it/state");
    let program = greylet();
    let mut shell = std::process::Command::new("sh");
    let serve = format!(
        "umask 077; exec {} serve --inet=127.0.0.1:0 --user=nobody --dbdir={folder}",
        program.get_program().to_str().expect("a UTF-8 path")
    );
    shell.arg("-c").arg(serve);
    let mut server = Server::start_command(shell, 1);
    assert!(server.stop(Signal::SIGTERM).success());
    assert_eq!(mode(scratch.path("above/it")), 0o755);
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn the_folder_when_none_is_given() {
    let scratch = Scratch::new("default");
    let [home, state, others] = ["home", "state", "others"].map(|name| scratch.path(name));
    for folder in [&home, &state, &others] {
        fs::create_dir(folder).expect("a folder");
        if geteuid().is_root() {
            chown(folder, Some(OTHER_USER), Some(OTHER_USER)).expect("root may");
        }
    }
    let two = format!("{others}/first:{others}/second");
    for (variables, folder) in [
        (
            vec![("HOME", &home)],
            format!("{home}/.local/state/greylet"),
        ),
        (
            vec![("HOME", &home), ("XDG_STATE_HOME", &state)],
            format!("{state}/greylet"),
        ),
        (
            vec![("XDG_STATE_HOME", &state), ("STATE_DIRECTORY", &two)],
            format!("{others}/first"),
        ),
    ] {
        let mut server = start_as_other(&scratch, &variables);
        assert!(has_line(&server, &format!("no snapshot in {folder}:")));
        assert!(server.stop(Signal::SIGTERM).success());
        assert_eq!(names_in(&folder), ["lock", "snapshot"]);
    }
    let nowhere = "/proc/nowhere".to_owned();
    for (variables, said) in [
        (
            vec![("HOME", &nowhere)],
            "cannot use /proc/nowhere/.local/state/greylet: ",
        ),
        (vec![], "there is no folder to keep a snapshot in: "),
    ] {
        let mut server = start_as_other(&scratch, &variables);
        must_say(&mut server, said);
        assert!(!is_known(&server, "a@s.example"));
        assert!(server.stop(Signal::SIGTERM).success());
    }
}

/// Starts one with these variables only, as another user if this is root, whose folder is the same in any environment.
fn start_as_other(scratch: &Scratch, variables: &[(&str, &String)]) -> Server {
    let program = scratch.path("greylet");
    if !Path::new(&program).exists() {
        copy_program(&program);
    }
    let mut command = Command::new(&program);
    command
        .args(["serve", "--inet=127.0.0.1:0", "--save-interval=0"])
        .env_clear()
        .envs(variables.iter().copied());
    if geteuid().is_root() {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
    Server::start_command(command, 1)
}

/// Where cargo builds may be closed to others. Not fs::copy: what other tests start meanwhile would have the copy open for writing for a moment, and
/// such a file cannot be executed.
fn copy_program(to: &str) {
    let mut cp = Command::new("cp");
    let status = cp.args([env!("CARGO_BIN_EXE_greylet"), to]).status();
    assert!(status.expect("cp starts").success());
}

#[test]
fn a_given_folder_that_cannot_be_used() {
    let scratch = Scratch::new("unusable");
    let file = scratch.path("file");
    fs::write(&file, "").expect("a file");
    for folder in ["/proc/nowhere", &format!("{file}/state"), &file] {
        let given = format!("--dbdir={folder}");
        let (code, error) = failure(&["serve", "--inet=127.0.0.1:0", &given]);
        assert_eq!(code, 1);
        assert!(
            error.contains(&format!("cannot use --dbdir={folder}: ")),
            "{error}"
        );
    }
}

/// What is made of a damaged snapshot, what is then in the log, and whether a@s.example and b@s.example are still known.
struct Damage {
    make: fn(&mut Vec<u8>),
    said: &'static str,
    known: [bool; 2],
}

const DAMAGES: [Damage; 10] = [
    Damage {
        make: Vec::clear,
        said: "is empty; it is kept as",
        known: [false, false],
    },
    Damage {
        make: |bytes| *bytes = b"Not a snapshot.\n".repeat(1_000),
        said: "is no snapshot of greylet's; it is kept as",
        known: [false, false],
    },
    Damage {
        make: |bytes| bytes.fill(0),
        said: "is no snapshot of greylet's; it is kept as",
        known: [false, false],
    },
    Damage {
        make: |bytes| {
            for head in blocks(bytes, HEAD) {
                bytes[head + 20] ^= 0x10;
            }
        },
        said: "is damaged, and without its key of no use; it is kept as",
        known: [false, false],
    },
    Damage {
        make: |bytes| {
            for head in blocks(bytes, HEAD) {
                make_head_of_version_2(&mut bytes[head..head + 30]);
            }
        },
        said: "is of another greylet: its format is 2; it is kept as",
        known: [false, false],
    },
    Damage {
        make: |bytes| bytes[14] ^= 1,
        said: "is damaged in 1 places, the first at byte 0; what is whole is used, and a copy is kept as",
        known: [true, true],
    },
    Damage {
        make: |bytes| {
            let first = blocks(bytes, ENTRIES)[0];
            bytes[first + 20] ^= 0x80;
        },
        said: "is damaged in 1 places, the first at byte 30; what is whole is used, and a copy is kept as",
        known: [false, true],
    },
    Damage {
        make: |bytes| {
            let first = blocks(bytes, ENTRIES)[0];
            bytes.drain(first..first + 5);
        },
        said: "is damaged in 1 places, the first at byte 30; what is whole is used, and a copy is kept as",
        known: [false, true],
    },
    Damage {
        make: |bytes| bytes.truncate(blocks(bytes, ENTRIES)[1] + 20),
        said: "was cut short; what there is of it is used",
        known: [true, false],
    },
    Damage {
        make: |bytes| bytes.extend_from_slice(b"more"),
        said: "was cut short; what there is of it is used",
        known: [true, true],
    },
];

/// With the checksum that belongs to it.
fn make_head_of_version_2(head: &mut [u8]) {
    head[12] = 2;
    let mut hash = SipHasher24::new_with_key(b"greylet snapshot");
    hash.write(&head[8..]);
    head[4..8].copy_from_slice(&(hash.finish() as u32).to_le_bytes());
}

#[test]
fn damaged_snapshots() {
    let scratch = Scratch::new("damaged");
    let whole = make_snapshot(&scratch.path("whole"));
    for (index, damage) in DAMAGES.iter().enumerate() {
        let folder = scratch.path(&index.to_string());
        let mut damaged = whole.clone();
        (damage.make)(&mut damaged);
        assert_ne!(damaged, whole);
        fs::create_dir(&folder).expect("a folder");
        fs::write(format!("{folder}/snapshot"), &damaged).expect("a file");
        let mut server = Server::start_in(&folder, &[]);
        must_say(&mut server, damage.said);
        let known = ["a@s.example", "b@s.example"].map(|sender| is_known(&server, sender));
        assert_eq!(known, damage.known, "{index}");
        let kept = fs::read(format!("{folder}/snapshot.damaged.1"));
        match damage.said.contains("kept as") {
            true => assert_eq!(kept.expect("it is kept"), damaged, "{index}"),
            false => assert!(kept.is_err(), "{index}"),
        }
        // The next one is whole again, and has a key.
        pass(&server, "c@s.example");
        assert!(server.stop(Signal::SIGTERM).success());
        let mut server = Server::start_in(&folder, &[]);
        assert!(is_known(&server, "c@s.example"));
        let known = ["a@s.example", "b@s.example"].map(|sender| is_known(&server, sender));
        assert_eq!(known, damage.known, "{index}");
        server.stop(Signal::SIGKILL);
        let about_it = |line: &&String| line.contains(&format!("{folder}/snapshot"));
        assert_eq!(server.log.iter().filter(about_it).count(), 1, "{index}");
    }
}

#[test]
fn three_damaged_snapshots_are_kept() {
    let scratch = Scratch::new("three");
    let folder = scratch.path("");
    for text in ["first", "second", "third", "fourth"] {
        fs::write(scratch.path("snapshot"), text).expect("a file");
        Server::start_in(&folder, &[]).stop(Signal::SIGKILL);
    }
    assert_eq!(
        names_in(&folder),
        [
            "control",
            "lock",
            "snapshot.damaged.1",
            "snapshot.damaged.2",
            "snapshot.damaged.3"
        ]
    );
    let kept = [1, 2, 3].map(|number| {
        fs::read_to_string(scratch.path(&format!("snapshot.damaged.{number}"))).expect("a file")
    });
    assert_eq!(kept, ["fourth", "third", "second"]);
}

/// Nothing can be appended to it, and the next save takes its place.
#[test]
fn a_pipe_in_place_of_the_snapshot_is_not_waited_for() {
    let scratch = Scratch::new("pipe");
    let mut server = Server::start_in(&scratch.path("db"), &[]);
    pass(&server, "a@s.example");
    server.save();
    let snapshot = scratch.path("db/snapshot");
    fs::remove_file(&snapshot).expect("it is there");
    mkfifo(snapshot.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    kill(server.pid(), Signal::SIGUSR1).expect("it is running");
    server.wait_for("cannot save to");
    assert!(server.stop(Signal::SIGTERM).success());
    let server = Server::start_in(&scratch.path("db"), &[]);
    assert!(is_known(&server, "a@s.example"));
}

#[test]
fn what_is_no_file_of_ours() {
    let scratch = Scratch::new("nofile");
    let elsewhere = scratch.path("elsewhere");
    fs::write(&elsewhere, "somebody else's").expect("a file");
    for name in ["folder", "fifo", "link"] {
        let folder = scratch.path(name);
        fs::create_dir(&folder).expect("a folder");
        let snapshot = format!("{folder}/snapshot");
        match name {
            "folder" => fs::create_dir(&snapshot).expect("a folder"),
            "fifo" => mkfifo(&snapshot[..], Mode::S_IRWXU).expect("a FIFO"),
            _ => symlink(&elsewhere, &snapshot).expect("a link"),
        }
        // A save that was cut short leaves this behind; it must not be written through.
        symlink(&elsewhere, format!("{folder}/snapshot.new")).expect("a link");
        let mut server = Server::start_in(&folder, &[]);
        let said = format!("{folder}/snapshot cannot be read: ");
        must_say(&mut server, &said);
        pass(&server, "a@s.example");
        assert!(server.stop(Signal::SIGTERM).success());
        assert_eq!(
            names_in(&folder),
            ["lock", "snapshot", "snapshot.damaged.1"]
        );
        let server = Server::start_in(&folder, &[]);
        assert!(is_known(&server, "a@s.example"));
    }
    let text = fs::read_to_string(&elsewhere).expect("a file");
    assert_eq!(text, "somebody else's");
}

/// Of root, if this is root, and otherwise ours, but closed.
#[test]
fn a_snapshot_that_may_not_be_read() {
    let scratch = Scratch::new("unreadable");
    let folder = scratch.path("state");
    let whole = make_snapshot(&folder);
    let snapshot = format!("{folder}/snapshot");
    let mut options = vec![];
    let (user, group);
    if geteuid().is_root() {
        for name in ["", "/lock"] {
            let path = format!("{folder}{name}");
            chown(path, Some(OTHER_USER), Some(OTHER_USER)).expect("root may");
        }
        user = format!("--user={OTHER_USER}");
        group = format!("--group={OTHER_USER}");
        options.extend([&user[..], &group[..]]);
    } else {
        fs::set_permissions(&snapshot, Permissions::from_mode(0o0)).expect("it is ours");
    }
    let mut server = Server::start_in(&folder, &options);
    let said = format!("{snapshot} cannot be read: Permission denied");
    must_say(&mut server, &said);
    assert!(!is_known(&server, "a@s.example"));
    pass(&server, "c@s.example");
    assert!(server.stop(Signal::SIGTERM).success());
    let kept = format!("{snapshot}.damaged.1");
    if geteuid().is_root() {
        assert_eq!(fs::read(&kept).expect("root may"), whole);
        assert_eq!(fs::metadata(&kept).expect("it is there").uid(), 0);
    }
    let server = Server::start_in(&folder, &options);
    assert!(is_known(&server, "c@s.example"));
}

#[test]
fn a_folder_that_goes_and_comes_back() {
    let scratch = Scratch::new("gone");
    let folder = scratch.path("state");
    let mut server = Server::start_in(&folder, &[]);
    pass(&server, "a@s.example");
    server.save();
    fs::remove_dir_all(&folder).expect("it is ours");
    kill(server.pid(), Signal::SIGUSR1).expect("it is running");
    server.wait_for(&format!("cannot save to {folder}/snapshot: No such file"));
    assert!(is_known(&server, "a@s.example"));
    fs::create_dir(&folder).expect("it is gone");
    server.save();
    assert!(server.stop(Signal::SIGKILL).code().is_none());
    let server = Server::start_in(&folder, &[]);
    assert!(is_known(&server, "a@s.example"));
}

/// A greylet that alone sees what a script has mounted; none where that may not be. In the script `$1` is the folder.
fn start_with_mount(folder: &str, script: &str, options: &[&str]) -> Option<Server> {
    let as_root = if geteuid().is_root() { "-m" } else { "-rm" };
    let mut unshare = Command::new("unshare");
    unshare.args([
        as_root,
        "sh",
        "-ec",
        &format!("{script}\nshift\nexec \"$@\""),
    ]);
    unshare.args(["sh", folder]);
    let is_possible = Command::new("unshare")
        .args([as_root, "mount", "-t", "tmpfs", "none", folder])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_possible {
        println!("skipped: nothing can be mounted here");
        return None;
    }
    unshare.arg(env!("CARGO_BIN_EXE_greylet"));
    unshare.env_remove("JOURNAL_STREAM");
    Some(Server::start_command(
        remembering(unshare, folder, options),
        1,
    ))
}

/// Where others see what only a server sees.
fn seen_by(server: &Server, path: &str) -> String {
    format!("/proc/{}/root{path}", server.pid())
}

const READ_ONLY: &str = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";

/// Mounts what is `READ_ONLY` anew.
fn let_it_be_written(server: &Server, folder: &str) {
    let mut nsenter = Command::new("nsenter");
    if !geteuid().is_root() {
        nsenter.args(["-U", "--preserve-credentials"]);
    }
    nsenter.args(["-m", "-t"]);
    nsenter.args([
        &server.pid().to_string(),
        "mount",
        "-o",
        "remount,bind,rw",
        folder,
    ]);
    assert!(nsenter.status().expect("it starts").success());
}

#[test]
fn a_disk_that_may_not_be_written() {
    let scratch = Scratch::new("readonly");
    let folder = scratch.path("state");
    let whole = make_snapshot(&folder);
    let Some(mut server) = start_with_mount(&folder, READ_ONLY, &[]) else {
        return;
    };
    assert!(is_known(&server, "a@s.example") && is_known(&server, "b@s.example"));
    pass(&server, "c@s.example");
    kill(server.pid(), Signal::SIGUSR1).expect("it is running");
    server.wait_for("cannot save to");
    assert!(is_known(&server, "c@s.example"));
    assert_eq!(
        fs::read(format!("{folder}/snapshot")).expect("a snapshot"),
        whole
    );
    // It can be written again, and all is saved.
    let_it_be_written(&server, &folder);
    server.save();
    assert!(!server.stop(Signal::SIGKILL).success());
    let server = Server::start_in(&folder, &[]);
    assert!(
        ["a@s.example", "b@s.example", "c@s.example"]
            .iter()
            .all(|it| is_known(&server, it))
    );
}

/// What cannot be set aside is not overwritten later either.
#[test]
fn a_foreign_snapshot_on_a_disk_that_may_not_be_written() {
    let scratch = Scratch::new("foreignro");
    let folder = scratch.path("state");
    fs::create_dir(&folder).expect("a folder");
    fs::write(format!("{folder}/snapshot"), "somebody else's").expect("a file");
    let Some(mut server) = start_with_mount(&folder, READ_ONLY, &[]) else {
        return;
    };
    let said = "is no snapshot of greylet's, and cannot be renamed: Read-only file system";
    must_say(&mut server, said);
    let_it_be_written(&server, &folder);
    server.save();
    assert_eq!(names_in(&folder), ["snapshot", "snapshot.damaged.1"]);
    let kept = fs::read_to_string(format!("{folder}/snapshot.damaged.1")).expect("a file");
    assert_eq!(kept, "somebody else's");
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new("full");
    let folder = scratch.path("state");
    fs::create_dir(&folder).expect("a folder");
    let mount = "mount -t tmpfs -o size=64k none \"$1\"";
    let options = ["--save-interval=1"];
    let Some(mut server) = start_with_mount(&folder, mount, &options) else {
        return;
    };
    let seen = seen_by(&server, &folder);
    pass(&server, "a@s.example");
    server.wait_for("saved to");
    let good = fs::read(format!("{seen}/snapshot")).expect("a snapshot");
    // Nothing is left, not even in the snapshot's last page.
    fill(&format!("{seen}/filler"));
    for number in 0..400 {
        pass(&server, &format!("some.sender.x{number}@s{number}.example"));
    }
    server.wait_for(&format!("cannot save to {folder}/snapshot: No space left"));
    let is_as_before = || {
        let after = fs::read(format!("{seen}/snapshot")).expect("a snapshot");
        assert_eq!(after, good, "the last good one is left");
        assert_eq!(names_in(&seen), ["control", "filler", "lock", "snapshot"]);
    };
    // That was to be appended.
    is_as_before();
    assert!(is_known(&server, "a@s.example"));
    // Whoever asks for a save is told again; it would be a full one.
    kill(server.pid(), Signal::SIGUSR1).expect("it is running");
    server.wait_for("cannot save to");
    is_as_before();
    fs::remove_file(format!("{seen}/filler")).expect("it is ours");
    server.save();
    let copy = scratch.path("copy");
    fs::create_dir(&copy).expect("a folder");
    fs::copy(format!("{seen}/snapshot"), format!("{copy}/snapshot")).expect("a copy");
    let server = Server::start_in(&copy, &[]);
    assert!(is_known(&server, "a@s.example"));
    assert!(is_known(&server, "some.sender.x399@s399.example"));
}

/// Takes all the room that there is.
fn fill(path: &str) {
    let error = fs::write(path, vec![1; 1 << 20]).expect_err("it has less room");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Neither the lock nor the snapshot finds room; that is no reason not to start.
#[test]
fn a_disk_that_was_full_before() {
    let scratch = Scratch::new("fullbefore");
    let folder = scratch.path("state");
    fs::create_dir(&folder).expect("a folder");
    // An inode for the folder itself, and one more.
    for mount in [
        "mount -t tmpfs -o size=4k none \"$1\"; echo >\"$1\"/filler",
        "mount -t tmpfs -o nr_inodes=2 none \"$1\"; echo >\"$1\"/filler",
    ] {
        let Some(mut server) = start_with_mount(&folder, mount, &[]) else {
            return;
        };
        pass(&server, "a@s.example");
        kill(server.pid(), Signal::SIGUSR1).expect("it is running");
        server.wait_for("cannot save to");
        fs::remove_file(format!("{}/filler", seen_by(&server, &folder))).expect("it is ours");
        server.save();
        assert!(server.stop(Signal::SIGTERM).success());
    }
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("skipped: this needs root");
    }
    is_root
}
