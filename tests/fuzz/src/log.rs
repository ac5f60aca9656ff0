//! Mail logs: what is said of them is the same however they are read, it is JSON, and it can be shown on a screen.

use std::io::{Cursor, Read};
use std::rc::Rc;

use greylet::commands::report::input::Input;
use greylet::commands::report::summary::Summary;
use greylet::commands::report::{Reading, json, people};
use greylet::engine::access::Clients;

/// What is looked for in Postfix's lines.
const TEXT: &str = "Greylisted";

/// When the log ends, in seconds since 1970.
const END: i64 = 1_795_464_493;

fn read(bytes: &[u8], buffer_bytes: usize) -> Summary {
    let source: Box<dyn Read> = Box::new(Cursor::new(bytes.to_vec()));
    let mut input = Input::new("mail.log", source, buffer_bytes, END);
    let (lists, _) = Clients::read([&b"pool pool.example"[..]]);
    let mut reading = Reading::new(TEXT, Rc::new(lists));
    reading.read(&mut input).expect("memory can be read");
    reading.summary(true)
}

fn as_json(summary: &Summary) -> String {
    let mut out = Vec::new();
    json::write(&mut out, summary).expect("memory can be written");
    String::from_utf8(out).expect("UTF-8")
}

/// See the [module](self).
pub fn check(bytes: &[u8]) {
    let summary = read(bytes, 16_384);
    let text = as_json(&summary);
    assert_eq!(as_json(&read(bytes, 7)), text);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // What Postfix's lines do not tell is null.
    let count = |name: &str| match &value[name] {
        serde_json::Value::Null => 0,
        count => count.as_u64().expect("a number"),
    };
    assert!(count("deferred") <= count("deferrals"), "{text}");
    assert!(
        count("waiting") + count("never_back") <= count("deferred"),
        "{text}"
    );
    let mut out = Vec::new();
    people::write(&mut out, &summary, TEXT).expect("memory can be written");
    let screen = String::from_utf8(out).expect("UTF-8");
    let is_control = |letter: char| letter.is_control() && letter != '\n';
    assert!(!screen.contains(is_control), "{screen:?}");
}
