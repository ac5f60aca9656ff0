//! Coming from Postgrey: its options, as distributions keep them, to a line that greylet takes.

mod support;

use support::{Scratch, run};

/// The line for greylet, and what is said of it.
fn migrated(words: &[&str]) -> (String, String) {
    migrated_with_status(0, words)
}

fn migrated_with_status(status: i32, words: &[&str]) -> (String, String) {
    let output = run(&[&["migrate"], words].concat(), b"");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{error}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let (line, notes) = printed.split_once("\n\n").expect("a line and notes");
    (line.to_owned(), notes.to_owned())
}

#[test]
fn debians_file() {
    let scratch = Scratch::new("migrate");
    let (file, lists) = (scratch.path("postgrey"), scratch.path("lists"));
    std::fs::create_dir(&lists).expect("a folder");
    std::fs::write(
        format!("{lists}/whitelist_clients"),
        "example.com\n.dead.example\n",
    )
    .expect("a list");
    std::fs::write(format!("{lists}/whitelist_recipients.local"), "me@\n").expect("a list");
    std::fs::write(
        &file,
        "# startup options\n#POSTGREY_OPTS=\"--inet=1\"\nPOSTGREY_OPTS=\"--inet=10023 --delay=0 \\\n  --max-age=50\"\nPOSTGREY_TEXT=\"Come back %s\"\n",
    )
    .expect("a file");
    let (line, notes) = migrated(&[&file, &format!("--lists={lists}")]);
    assert_eq!(
        line,
        format!(
            "greylet serve --inet=10023 --max-age=50 '--greylist-text=Come back %s' \
             --whitelist-clients={lists}/whitelist_clients --whitelist-clients={lists}/whitelist_clients.local \
             --whitelist-recipients={lists}/whitelist_recipients.local"
        )
    );
    for said in [
        "--delay=0 is left out: ",
        "Postgrey reads it as 300",
        "whitelist_clients line 2: `.dead.example` can never match",
        "unless --user is given",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}

#[test]
fn an_option_line() {
    let line = "--unix=/var/spool/postfix/postgrey/socket --inet 127.0.0.1:10023 --auto-whitelist-clients --privacy -v --no-such";
    let (line, notes) = migrated(&["--options", line, "--lists=/nowhere"]);
    assert_eq!(
        line,
        "greylet serve --unix=/var/spool/postfix/postgrey/socket --inet=127.0.0.1:10023 \
         --auto-whitelist-clients=5 --privacy --verbose"
    );
    for said in [
        "--no-such is left out",
        "greylet on both",
        "--privacy needs nothing",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let (_, notes) = migrated(&[
        "--options=--inet=1 --delay=7200 --retry-window=1h",
        "--lists=/nowhere",
    ]);
    assert!(
        notes.contains("greylet refuses this line as it stands: "),
        "{notes}"
    );
}

#[test]
fn where_postfix_finds_it() {
    for (options, services) in [
        ("--inet=60000", "{ inet:127.0.0.1:60000, "),
        ("--inet=[::1]:7", "{ inet:[::1]:7, "),
        ("--inet=*:7", "{ inet:127.0.0.1:7, "),
        ("--unix=/run/p", "{ unix:/run/p, "),
        (
            "--unix=/var/spool/postfix/postgrey/socket --inet=7",
            "{ inet:127.0.0.1:7, timeout=10s, default_action=DUNNO } or { unix:postgrey/socket, ",
        ),
    ] {
        let (_, notes) = migrated(&["--options", options, "--lists=/nowhere"]);
        assert!(
            notes.contains(&format!("stays as it is; {services}")),
            "{options}: {notes}"
        );
    }
}

#[test]
fn a_lost_listener() {
    let options = "--options=--inet=mail.example.com:10023";
    let (line, notes) = migrated_with_status(1, &[options, "--lists=/nowhere"]);
    assert_eq!(line, "greylet serve");
    for said in [
        "--inet=mail.example.com:10023 is left out: ",
        "where Postgrey listens is left out",
        "has to name where greylet listens: { inet:127.0.0.1:10023, ",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert!(!notes.contains("neither"), "{notes}");
    let (line, _) = migrated_with_status(1, &[&format!("{options} --unix=/p"), "--lists=/nowhere"]);
    assert_eq!(line, "greylet serve --unix=/p");
    let (_, notes) = migrated(&["--options=--delay=60", "--lists=/nowhere"]);
    assert!(
        notes.contains("neither --inet nor --unix is given"),
        "{notes}"
    );
}

#[test]
fn files_as_a_shell_reads_them() {
    let scratch = Scratch::new("migrateshell");
    let file = scratch.path("postgrey");
    for (text, words) in [
        ("FOO=$BAR\nPOSTGREY_OPTS=--inet=1\n", " --inet=1"),
        (
            "POSTGREY_OPTS=\"--inet=1\n  --delay=60\"",
            " --inet=1 --delay=60",
        ),
        (
            "OPTIONS='--inet=1'\nOPTIONS+=\" --delay=60\"\n",
            " --inet=1 --delay=60",
        ),
        ("POSTGREY_OPTS+=--inet=1", " --inet=1"),
        (
            "POSTGREY_OPTS=--inet=10023; export POSTGREY_OPTS # it's\nX=1;",
            " --inet=10023",
        ),
        ("export POSTGREY_OPTS=--inet=1;\n", " --inet=1"),
        ("POSTGREY_OPTS=\"\"\nPOSTGREY_TEXT=\n", ""),
        (
            "POSTGREY_OPTS=--delay=60\nMY_POSTGREY_OPTS=--inet=$X\n",
            " --delay=60",
        ),
        (
            "if true; then\nX=1\nfi\nPOSTGREY_OPTS=--inet=1",
            " --inet=1",
        ),
        (
            "POSTGREY_OPTS=--inet=1\nPOSTGREY_TEXT='a; b # c'",
            " --inet=1 '--greylist-text=a; b # c'",
        ),
    ] {
        std::fs::write(&file, text).expect("a file");
        let (line, _) = migrated(&[&file, "--lists=/nowhere"]);
        assert_eq!(line, format!("greylet serve{words}"), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let scratch = Scratch::new("migratebad");
    let file = scratch.path("postgrey");
    for (text, said) in [
        (None, "cannot read"),
        (Some("PATH=/bin\n"), "sets neither POSTGREY_OPTS"),
        (Some("POSTGREY_OPTS=$(cat /x)\n"), "the shell would replace"),
        (
            Some("POSTGREY_OPTS=--inet=1\n[ -e /x ] && POSTGREY_OPTS=--inet=2\n"),
            "`[ -e /x ] && POSTGREY_OPTS=--inet=2` is not understood",
        ),
        (
            Some("if [ -e /x ]; then\n  POSTGREY_OPTS=--inet=2\nfi\n"),
            "is not understood",
        ),
        (
            Some("POSTGREY_OPTS=--inet=1 postgrey\n"),
            "is not understood",
        ),
        (Some("X=1\nunset OPTIONS\n"), "`unset OPTIONS` is not"),
        (
            Some("POSTGREY_OPTS=\"--inet=$PORT\"\n"),
            "the shell would replace",
        ),
        (Some("POSTGREY_OPTS=\"--inet=1\n"), "a quote is not closed"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).expect("a file");
        }
        let output = run(&["migrate", &file], b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(said), "{said}: {error}");
    }
}
