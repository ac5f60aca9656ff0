//! Boxes whose clocks are wrong, through the real binary: it starts with a snapshot of another time, as its wall clock and its boot id
//! tell it, and must go on as if nothing had been.

#[allow(dead_code)]
#[path = "support/story.rs"]
mod story;
mod support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use greylet::engine::limits::BLOCK_BYTES_MAX;
use greylet::engine::request::Request;
use greylet::engine::snapshot::{Encoder, Extent, Moment, Save, Step};
use greylet::engine::time::Timestamp;
use greylet::engine::{Engine, Policy};
use story::{DAY, START, mail, with_engine};
use support::{Scratch, Server, request, run};

/// How long the pending mail had waited when the snapshot was made.
const WAITED: u64 = 100;

fn known() -> Request<'static> {
    Request {
        sender: Some(b"known@s.example"),
        ..mail()
    }
}

fn pending() -> Request<'static> {
    Request {
        sender: Some(b"pending@s.example"),
        ..mail()
    }
}

fn wall_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

/// A snapshot with a mail that passed 20 days before it, and was not used since, and one that waits.
fn snapshot(wall_unix_seconds: u64, boot_id: [u8; 16], boot_seconds: u64) -> Vec<u8> {
    let saved = START + 20 * DAY;
    let moment = Moment {
        logical: Timestamp::from_unix(saved),
        wall_unix_seconds,
        boot_seconds,
        boot_id,
        data_asked: None,
    };
    let mut bytes = Vec::new();
    with_engine(64, Policy::default(), |engine| {
        for (request, time) in [
            (known(), START),
            (known(), START + 400),
            (pending(), saved - WAITED),
        ] {
            engine.decide(&request, Timestamp::from_unix(time));
        }
        bytes = encoded(engine, moment);
    });
    bytes
}

fn encoded(engine: &mut Engine<'_>, moment: Moment) -> Vec<u8> {
    let save = Save {
        extent: Extent::Full,
        with_pending: true,
    };
    let mut encoder = Encoder::new(save, moment, heapless::Vec::new(), engine.table());
    let mut block = heapless::Vec::<u8, BLOCK_BYTES_MAX>::new();
    let mut bytes = Vec::new();
    loop {
        match engine.save(&mut encoder, &mut block) {
            Step::Unfinished => {}
            Step::Block => {
                bytes.extend_from_slice(&block);
                block.clear();
            }
            Step::Done => return bytes,
        }
    }
}

/// Starts greylet with a snapshot. The mail that had passed passes; gives how long the other one has waited, in seconds.
fn waited_after_start(name: &str, snapshot: &[u8]) -> u64 {
    let scratch = Scratch::new(name);
    let folder = scratch.path("state");
    fs::create_dir(&folder).expect("a folder");
    fs::write(format!("{folder}/snapshot"), snapshot).expect("a file");
    let server = Server::start(&[&format!("--dbdir={folder}")]);
    let action = server
        .connect()
        .ask(request(&[("sender", Some("known@s.example"))]));
    assert_eq!(action, "DUNNO", "{name}: {:?}", server.log);
    let words = [
        "explain",
        &format!("--server={}", server.listening[0]),
        "--client-name=mail.example.com",
        "--client-address=192.0.2.1",
        "--sender=pending@s.example",
        "--recipient=b@r.example",
    ];
    let text = String::from_utf8(run(&words, b"").stdout).expect("text");
    let (_, rest) = text.split_once("would be").expect("a line");
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix("passed, after ") {
        return rest
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .expect("seconds");
    }
    let rest = rest
        .strip_prefix("deferred, ")
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        text.contains("early-retry"),
        "{name}: it waits anew: {text}"
    );
    let left: u64 = rest
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("seconds");
    300 - left
}

/// What a start itself may take, on a busy machine.
const START_SECONDS_MAX: u64 = 60;

#[test]
fn after_another_boot_the_age_stays() {
    for (name, wall) in [
        ("minutes", wall_now() - 600),
        // As if booted in 2050 with a snapshot of last week, or with an old backup.
        ("far", wall_now() - 24 * 365 * DAY),
        ("off60", wall_now() - 60 * DAY),
        // As if booted in 1970, or saved in 2037.
        ("before", wall_now() + 56 * 365 * DAY),
        ("saved2037", 2_124_000_000),
        ("saved1970", 20),
    ] {
        let waited = waited_after_start(name, &snapshot(wall, [1; 16], 77));
        let possible = WAITED..WAITED + START_SECONDS_MAX;
        assert!(possible.contains(&waited), "{name}: {waited}");
    }
}

/// In the same boot, through suspend and steps of NTP, the time is that of the kernel, whatever the wall clock says.
#[test]
fn in_the_same_boot_the_time_off_counts() {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has it");
    let digits: String = id.trim().split('-').collect();
    let id = u128::from_str_radix(&digits, 16)
        .expect("a UUID")
        .to_be_bytes();
    let uptime = fs::read_to_string("/proc/uptime").expect("Linux has it");
    let uptime = uptime
        .split('.')
        .next()
        .and_then(|it| it.parse::<u64>().ok());
    let uptime = uptime.expect("seconds");
    for wall in [wall_now(), wall_now() - 900 * DAY, wall_now() + 900 * DAY] {
        let off = uptime.min(120);
        let waited = waited_after_start("same", &snapshot(wall, id, uptime - off));
        let possible = WAITED + off..WAITED + off + START_SECONDS_MAX;
        assert!(possible.contains(&waited), "{waited}");
    }
}
