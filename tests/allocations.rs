//! Nothing is allocated for a request: nothing at all by what decides, answers and formats the log line; and in a whole process that serves, no
//! more than an empty smol server allocates, and nothing that stays.
//!
//! There is no test harness, whose threads would be counted as well.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use greylet::engine::limits::REPLY_BYTES_MAX;
use greylet::engine::log_line::ActionLine;
use greylet::engine::reply::Texts;
use greylet::engine::request::RequestParser;
use greylet::engine::table::{Bucket, Slot, Table};
use greylet::engine::time::{HeaderDate, Timestamp};
use greylet::engine::triplet::FingerprintKey;
use greylet::engine::{Engine, Policy};
use smol::LocalExecutor;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::unix::UnixListener;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set in a process of its own, of which nobody reads what it logs.
const IS_SERVING: &str = "GREYLET_COUNT_ALLOCATIONS";

const WARM_UP: u32 = 2_000;
const REQUESTS: u32 = 20_000;

/// A queue of smol's takes memory for some dozen wake-ups at a time; this much may be in use or not.
const LIVE_BYTES_MAX: i64 = 4_096;

const LONGEST_LINE_BYTES: usize = 4_096;

/// The requests of a site: new ones and retries, recipients of a message, bounces, names of all kinds, and what is not judged.
fn fill_in(request: &mut String, number: u32) {
    request.clear();
    // Each triplet comes several times, at different times.
    let (sender, recipient) = (number % 300, number % 7);
    let state = ["RCPT", "RCPT", "RCPT", "DATA", "VRFY"][number as usize % 5];
    let client = number % 200;
    let name = ["unknown", "mail.example.com", "mx3.out.example.net"][client as usize % 3];
    let sender = match number % 11 {
        0 => String::new(),
        _ => format!("sender{}@s{sender}.example", sender % 26),
    };
    write!(
        request,
        "request=smtpd_access_policy\nprotocol_state={state}\nclient_address=192.0.2.{client}\nclient_name={name}\n\
         sender={sender}\nrecipient=r{recipient}@r.example\ninstance=i{number}\netrn_domain=\nqueue_id=\n\n"
    )
    .expect("a string takes everything");
}

/// A line that is formatted, and goes nowhere else.
struct Line(heapless::Vec<u8, LONGEST_LINE_BYTES>);

fn judge(
    engine: &mut Engine<'_>,
    texts: &Texts,
    parser: &mut RequestParser,
    bytes: &[u8],
    now: u64,
    line: &mut Line,
) -> usize {
    let fed = parser.feed(bytes).expect("the protocol");
    assert!(fed.complete);
    let request = parser.request();
    let verdict = engine.decide(&request, Timestamp::from_unix(now));
    let mut reply = heapless::Vec::<u8, REPLY_BYTES_MAX>::new();
    let date = || HeaderDate { unix_seconds: now };
    texts.append_reply(&mut reply, &verdict, &request, date);
    line.0.clear();
    let logged = ActionLine {
        verdict: &verdict,
        request: &request,
        is_dry_run: false,
    };
    logged.append_to(&mut line.0).expect("there is room");
    parser.clear();
    reply.len()
}

fn count_engine() {
    let mut slots = Box::new(heapless::Vec::<Slot, 4_096>::new());
    let mut buckets = [Bucket::EMPTY; 4_096];
    let table = Table::new(slots.as_mut_view(), &mut buckets, 1_024);
    let key = FingerprintKey::new(*b"sixteen byte key");
    let mut engine = Engine::new(Policy::default(), key, table);
    let texts = Texts {
        greylist_action: "DEFER_IF_PERMIT".into(),
        greylist_text: "Greylisted for %s seconds, see https://%r/".into(),
        x_greylist_header: "X-Greylist: delayed %t seconds by greylet-%v at %h; %d".into(),
        hostname: "gw.example".into(),
    };
    let mut parser = RequestParser::with_all_memory();
    let (mut line, mut request) = (Line(heapless::Vec::new()), String::with_capacity(2_000));
    for number in 0..REQUESTS {
        fill_in(&mut request, number);
        let (bytes, now) = (request.as_bytes(), 1_700_000_000 + u64::from(number) * 7);
        let region = Region::new(ALLOCATOR);
        judge(&mut engine, &texts, &mut parser, bytes, now, &mut line);
        assert_eq!(region.change(), Stats::default(), "{request}");
    }
}

/// Asks so many times, one after the other, and allocates nothing for it.
fn ask(stream: &mut UnixStream, request: &[u8], times: u32) {
    let mut reply = [0; 1_024];
    for _ in 0..times {
        stream.write_all(request).expect("it is taken");
        let mut read = 0;
        while !reply[..read].ends_with(b"\n\n") {
            let bytes = stream.read(&mut reply[read..]).expect("a reply");
            assert_ne!(bytes, 0, "the connection was closed");
            read += bytes;
        }
    }
}

fn connect(path: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// What is allocated for requests to a socket.
fn count_requests(path: &Path) -> Stats {
    let mut request = String::new();
    fill_in(&mut request, 1);
    let mut stream = connect(path);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    ask(&mut stream, request.as_bytes(), WARM_UP);
    let region = Region::new(ALLOCATOR);
    ask(&mut stream, request.as_bytes(), REQUESTS);
    region.change()
}

/// Answers each blank line, and does nothing else.
fn serve_empty(path: &Path) {
    let listener = UnixListener::bind(path).expect("a socket");
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let serving = async move {
                let mut input = [0; 4_096];
                loop {
                    match stream.read(&mut input).await {
                        Ok(bytes) if input[..bytes].ends_with(b"\n\n") => {
                            let _ = stream.write_all(b"action=DUNNO\n\n").await;
                        }
                        Ok(1..) => {}
                        _ => return,
                    }
                }
            };
            executor.spawn(serving).detach();
        }
    }));
}

fn live_bytes(stats: &Stats) -> i64 {
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn count_process() {
    let folder = std::env::temp_dir().join(format!("greylet-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (ours, empty) = (folder.join("ours"), folder.join("empty"));
    let unix = format!("--unix={}", ours.display());
    thread::spawn(move || {
        let words = ["greylet", "serve", "--dbdir=", &unix].map(Into::into);
        greylet::commands::run(words.into_iter()).expect("it serves");
    });
    let of_ours = count_requests(&ours);
    let path = empty.clone();
    thread::spawn(move || serve_empty(&path));
    let of_empty = count_requests(&empty);
    let _ = std::fs::remove_dir_all(&folder);
    for (what, stats) in [("greylet", &of_ours), ("empty smol server", &of_empty)] {
        let _ = writeln!(
            std::io::stderr(),
            "{what}, {REQUESTS} requests: {} allocations, {} reallocations, {} live bytes more",
            stats.allocations,
            stats.reallocations,
            live_bytes(stats)
        );
    }
    assert!(of_ours.allocations <= of_empty.allocations);
    assert!(of_ours.reallocations <= of_empty.reallocations);
    assert!(live_bytes(&of_ours).abs() <= LIVE_BYTES_MAX);
}

fn main() {
    if std::env::var_os(IS_SERVING).is_some() {
        return count_process();
    }
    count_engine();
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program)
        .env(IS_SERVING, "1")
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("it runs again").success());
}
