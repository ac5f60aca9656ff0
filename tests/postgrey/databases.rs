//! The real Postgrey's databases, through the real `db_dump`: the dumps in tests/cases are still what these write.

use std::fs;
use std::path::Path;
use std::process::Command;

use greylet::commands::import::dump::{self, Problem};

use crate::known_mails::requests;
use crate::postgrey::{self, Postgrey};
use crate::support::{Client, Scratch, say};

const DB_DUMP: &str = "db5.3_dump";

/// A dump in tests/cases: its name, Postgrey's option, the database, and `db_dump`'s option.
type Recorded = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
);

const RECORDED: [Recorded; 6] = [
    ("triplets", &[], "postgrey.db", &[]),
    ("triplets-print", &[], "postgrey.db", &["-p"]),
    ("clients", &[], "postgrey_clients.db", &["-p"]),
    (
        "triplets-by-host",
        &["--lookup-by-host"],
        "postgrey.db",
        &["-p"],
    ),
    ("triplets-privacy", &["--privacy"], "postgrey.db", &["-p"]),
    (
        "clients-privacy",
        &["--privacy"],
        "postgrey_clients.db",
        &["-p"],
    ),
];

#[test]
fn databases_beside_postgrey() {
    if postgrey::is_missing() || is_db_dump_missing() {
        return;
    }
    for options in [&[][..], &["--lookup-by-host"], &["--privacy"]] {
        let folder = Scratch::new(&format!("databases{}", options.concat()));
        make_databases(&folder, options);
        for (name, _, database, dump_options) in RECORDED.iter().filter(|it| it.1 == options) {
            let path = folder.path(database);
            let written = db_dump(dump_options, &path);
            check_or_record(name, &written);
            let itself = dump::read(&fs::read(&path).expect("a database")[..], |_, _| {});
            assert!(matches!(itself, Err(Problem::Database)), "{itself:?}");
        }
    }
}

/// Asks a Postgrey of its own about all mails.
fn make_databases(folder: &Scratch, options: &[&str]) {
    let nothing = folder.path("nothing");
    fs::write(&nothing, "").expect("an empty list");
    let mut words = vec![
        format!("--dbdir={}", folder.path("")),
        format!("--whitelist-clients={nothing}"),
        format!("--whitelist-recipients={nothing}"),
    ];
    words.extend(options.iter().map(ToString::to_string));
    let postgrey = Postgrey::start(&words);
    let mut client = Client::unix(&postgrey.socket());
    for request in requests() {
        client.ask(request);
    }
    drop(client);
    postgrey.stop();
}

fn db_dump(options: &[&str], database: &str) -> Vec<u8> {
    let output = Command::new(DB_DUMP)
        .args(options)
        .arg(database)
        .output()
        .expect("db_dump runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn check_or_record(name: &str, written: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases/postgrey-databases")
        .join(format!("{name}.dump"));
    if std::env::var_os("GREYLET_RECORD_DATABASES").is_some() {
        fs::write(&path, written).expect("a new dump");
    }
    let recorded = fs::read(&path).expect("a recorded dump");
    assert!(!records(written).is_empty());
    assert_eq!(records(written), records(&recorded), "{name}");
}

/// What is the same wherever a dump is made.
fn records(dump: &[u8]) -> Vec<(String, String)> {
    let mut records = Vec::new();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    dump::read(dump, |key, value| records.push((text(key), text(value)))).expect("a dump");
    records
}

/// Says so if it is, and fails if it must be there.
fn is_db_dump_missing() -> bool {
    if Command::new(DB_DUMP).arg("-V").output().is_ok() {
        return false;
    }
    let line = "there is no db5.3_dump: the recorded databases are not compared with new ones";
    for variable in ["CI", "GREYLET_REQUIRE_DB_DUMP"] {
        assert!(std::env::var_os(variable).is_none(), "{variable}: {line}");
    }
    say(line);
    true
}
