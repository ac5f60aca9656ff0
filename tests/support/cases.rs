//! The recorded cases, as bytes that each of the readers in tests/fuzz takes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::targets::snapshot::snapshots::{
    BATCH, DAY, FULL_WITH_PENDING, HOUR, START, entry, fingerprint, put, save, with_table,
};
use greylet::engine::history::History;
use greylet::engine::table::{Class, Entry};

/// Those of a reader.
pub(crate) fn of_target(target: &str) -> Vec<Vec<u8>> {
    match target {
        "request" => requests(),
        "snapshot" => snapshots(),
        "lists" => lists(),
        "dump" => files("tests/cases/postgrey-databases", "dump"),
        "log" => files("tests/cases", "log"),
        _ => panic!("there is no target {target}"),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a file"))
        .collect()
}

/// A recording, and each request of it.
fn requests() -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for recording in files("tests/cases", "txt") {
        let text = String::from_utf8(recording).expect("UTF-8");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let each = text.split_inclusive("\n\n");
        requests.extend(each.map(|request| request.as_bytes().to_vec()));
        requests.push(text.into_bytes());
    }
    requests
}

/// A full save, and one with a batch behind it.
fn snapshots() -> Vec<Vec<u8>> {
    with_table(64, |table| {
        for number in 0..40 {
            let class = Class::ALL[number as usize % Class::ALL.len()];
            let age = if class.is_pending() { 60 } else { DAY };
            let last_seen = START - number * age;
            let count = if number % 4 == 0 { number as u16 } else { 0 };
            let entry = entry(class, last_seen - number * age, last_seen);
            put(table, number.into(), Entry { count, ..entry });
        }
        let mut history = History::new();
        let full = save(FULL_WITH_PENDING, START, &[], table, &mut history);
        put(table, 1, entry(Class::Known, START, START + HOUR));
        let gone = [fingerprint(3)];
        let batch = save(BATCH, START + HOUR, &gone, table, &mut history);
        vec![full.clone(), [full, batch].concat()]
    })
}

/// The lists that come with greylet, and every pattern that Postgrey was asked about.
fn lists() -> Vec<Vec<u8>> {
    let builtin = ["whitelist_clients", "whitelist_recipients"];
    let mut lists: Vec<_> = builtin
        .map(|name| fs::read(root().join("src/lists").join(name)).expect("a list"))
        .into();
    let cases = fs::read(root().join("tests/cases/postgrey-whitelist.json")).expect("cases");
    let cases: serde_json::Value = serde_json::from_slice(&cases).expect("JSON");
    let patterns = cases.as_array().expect("an array").iter();
    let patterns = patterns.map(|case| case["pattern"].as_str().expect("a pattern"));
    let patterns: Vec<&str> = patterns.collect();
    lists.extend(patterns.iter().map(|pattern| pattern.as_bytes().to_vec()));
    lists.push(patterns.join("\n").into_bytes());
    lists.push(
        b"pool example.com\n192.0.2.0/24\n2001:db8::/32\n/^mx[0-9]+\\./\npostmaster@\n".to_vec(),
    );
    lists
}
