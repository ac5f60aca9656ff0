//! `greylet dump`: what it says of snapshots that the real binary has made, whole and damaged.

mod support;

use nix::sys::signal::Signal;
use support::{Scratch, Server, request, run};

fn dumped(words: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["dump"], words].concat(), b"");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

/// A folder with a snapshot of one mail that waits, from a nameless client.
fn snapshot(name: &str) -> (Scratch, String) {
    let scratch = Scratch::new(name);
    let folder = scratch.path("state");
    let mut server = Server::start(&[&format!("--dbdir={folder}")]);
    server
        .connect()
        .ask(request(&[("client_name", Some("unknown"))]));
    assert!(server.stop(Signal::SIGTERM).success());
    (scratch, folder)
}

#[test]
fn a_whole_snapshot() {
    let (_scratch, folder) = snapshot("dumpwhole");
    let file = format!("{folder}/snapshot");
    for path in [&folder, &file] {
        let (status, text) = dumped(&[path]);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.starts_with(&format!("{file}: 1 entries, ")), "{text}");
        assert!(text.contains("\nnot damaged\n"), "{text}");
        assert!(text.contains("\nplain            1        0   "), "{text}");
    }
    let (status, text) = dumped(&["--json", &folder]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["classes"]["plain"]["entries"], 1);
    assert_eq!(json["gaps"], 0);
    assert_eq!(
        json["classes"]["proven"]["age_oldest_seconds"],
        serde_json::Value::Null
    );
}

/// The key is in the file, and must not get out.
#[test]
fn never_the_key() {
    let (_scratch, folder) = snapshot("dumpkey");
    let bytes = std::fs::read(format!("{folder}/snapshot")).expect("a snapshot");
    // Behind the header of the first block and the version.
    let key: String = bytes[14..30]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for words in [&[&folder[..]][..], &["--json", &folder]] {
        let (_, text) = dumped(words);
        assert!(!text.to_lowercase().contains(&key[..8]), "{text}");
    }
}

#[test]
fn damaged_snapshots() {
    let (_scratch, folder) = snapshot("dumpdamaged");
    let file = format!("{folder}/snapshot");
    let bytes = std::fs::read(&file).expect("a snapshot");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.clone();
        change(&mut changed);
        std::fs::write(&file, changed).expect("it is ours");
        dumped(&[&file])
    };
    let (status, text) = with(&|bytes| bytes[40] ^= 1);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("damaged in 1 places, the first at byte 30"),
        "{text}"
    );
    let (status, text) = with(&|bytes| bytes.truncate(bytes.len() - 1));
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("the last save was cut short at byte "),
        "{text}"
    );
    for (change, said) in [
        (
            &(|bytes: &mut Vec<u8>| bytes.clear()) as &dyn Fn(&mut Vec<u8>),
            "it is empty",
        ),
        (&|bytes| bytes.fill(b'x'), "no snapshot of greylet's"),
    ] {
        let (status, text) = with(change);
        assert!(status == Some(1) && text.contains(said), "{text}");
    }
    let (status, text) = dumped(&["/nonexistent"]);
    assert!(status == Some(1) && text.contains("No such file"), "{text}");
}
