//! Nothing is allocated for a request: nothing at all by what reads it, decides, answers and formats the log line; and in a whole process that serves, only
//! what the executor's queue takes, and nothing that stays. What an empty smol server allocates is printed beside it.
//!
//! There is no test harness, whose threads would be counted as well.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use greylet::engine::access::{Access, Clients, Recipients};
use greylet::engine::limits::REPLY_BYTES_MAX;
use greylet::engine::log_line::ActionLine;
use greylet::engine::reply::Texts;
use greylet::engine::request::{Request, RequestParser, Requests};
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

/// A block of that queue takes so many wakes.
const WAKES_A_BLOCK: usize = 31;

/// Blocks more than that: what was begun before, and what the log's wakes take.
const BLOCKS_MORE: usize = 20;

/// How often the log's writer is woken in a second, at most: it pauses for 10 ms each time, and its executor is told, too.
const LOG_WAKES_A_SECOND: f64 = 200.0;

/// Different requests that are sent in turn.
const REQUESTS_IN_TURN: u32 = 2_310;

const LONGEST_LINE_BYTES: usize = 4_096;

/// The requests of a site: new ones and retries, recipients of a message, bounces, names of all kinds, and what is not judged.
fn fill_in(request: &mut String, number: u32) {
    request.clear();
    // Each triplet comes several times, at different times.
    let (sender, recipient) = (number % 300, number % 7);
    let state = ["RCPT", "RCPT", "RCPT", "DATA", "VRFY"][number as usize % 5];
    let client = number % 200;
    // Two of them are on the built-in lists.
    let name = [
        "unknown",
        "mail.example.com",
        "mx3.out.example.net",
        "mail.southwest.com",
        "qs51p00im-qukt01072501.me.com",
        "p5b3c1d2e.dip0.example.net",
    ][client as usize % 6];
    let local = ["r", "r", "r", "postmaster"][number as usize % 4];
    let time = time_of(number);
    let sender = match number % 11 {
        0 => String::new(),
        _ => format!("sender{}@s{sender}.example", sender % 26),
    };
    write!(
        request,
        "request=smtpd_access_policy\nprotocol_state={state}\nclient_address=192.0.2.{client}\nclient_name={name}\n\
         sender={sender}\nrecipient={local}{recipient}@r.example\ninstance=i{number}\netrn_domain=\nqueue_id=\n\
         policy_test_time={time}\n\n"
    )
    .expect("a string takes everything");
}

fn time_of(number: u32) -> u64 {
    1_700_000_000 + u64::from(number) * 7
}

/// A line that is formatted, and goes nowhere else.
struct Line(heapless::Vec<u8, LONGEST_LINE_BYTES>);

fn judge(
    engine: &mut Engine<'_>,
    texts: &Texts,
    request: &Request<'_>,
    now: u64,
    line: &mut Line,
) -> usize {
    let verdict = engine.decide(request, Timestamp::from_unix(now));
    let mut reply = heapless::Vec::<u8, REPLY_BYTES_MAX>::new();
    let date = || HeaderDate { unix_seconds: now };
    texts.append_reply(&mut reply, &verdict, request, date);
    line.0.clear();
    let logged = ActionLine {
        verdict: &verdict,
        request,
        is_dry_run: false,
    };
    logged.append_to(&mut line.0).expect("there is room");
    reply.len()
}

/// The lists that are used where there are no files.
fn built_in() -> Access {
    let clients = include_bytes!("../src/lists/whitelist_clients");
    let recipients = include_bytes!("../src/lists/whitelist_recipients");
    Access {
        clients: Clients::read([&clients[..]]).0,
        recipients: Recipients::read([&recipients[..]]).0,
        ..Access::default()
    }
}

fn count_engine() {
    let mut slots = Box::new(heapless::Vec::<Slot, 4_096>::new());
    let mut buckets = [Bucket::EMPTY; 4_096];
    let table = Table::new(slots.as_mut_view(), &mut buckets, 1_024);
    let key = FingerprintKey::new(*b"sixteen byte key");
    let mut engine = Engine::new(Policy::default(), key, table);
    *engine.access_mut() = built_in();
    let texts = Texts {
        greylist_action: "DEFER_IF_PERMIT".into(),
        greylist_text: "Greylisted for %s seconds, see https://%r/".into(),
        x_greylist_header: "X-Greylist: delayed %t seconds by greylet-%v at %h; %d".into(),
        hostname: "gw.example".into(),
    };
    let (mut line, mut request) = (Line(heapless::Vec::new()), String::with_capacity(2_000));
    for number in 0..REQUESTS {
        fill_in(&mut request, number);
        // Every third one comes in two pieces, and only it has a parser.
        let middle = match number % 3 {
            0 => 1 + number as usize % (request.len() - 1),
            _ => request.len(),
        };
        let (first, second) = request.as_bytes().split_at(middle);
        let mut parser = (!second.is_empty()).then(RequestParser::with_all_memory);
        let mut requests = Requests::new(|| parser.take().expect("it comes as a whole"));
        let mut answers = 0;
        let region = Region::new(ALLOCATOR);
        for mut piece in [first, second] {
            while let Some(request) = requests.next(&mut piece).expect("the protocol") {
                judge(&mut engine, &texts, &request, time_of(number), &mut line);
                answers += 1;
                // What the parser has is given back only when its place is needed.
                assert_eq!(region.change(), Stats::default(), "{request:?}");
            }
        }
        assert_eq!(answers, 1);
    }
}

/// Asks so many times, one after the other, and allocates nothing for it.
fn ask(stream: &mut UnixStream, requests: &[String], times: u32) {
    let mut reply = [0; 1_024];
    for request in requests.iter().cycle().take(times as usize) {
        stream.write_all(request.as_bytes()).expect("it is taken");
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

/// What is allocated for requests to a socket, and how long they took.
fn count_requests(path: &Path) -> (Stats, Duration) {
    let requests: Vec<String> = (0..REQUESTS_IN_TURN)
        .map(|number| {
            let mut request = String::new();
            fill_in(&mut request, number);
            request
        })
        .collect();
    let mut stream = connect(path);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    ask(&mut stream, &requests, WARM_UP);
    let (start, region) = (Instant::now(), Region::new(ALLOCATOR));
    ask(&mut stream, &requests, REQUESTS);
    (region.change(), start.elapsed())
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
        let words = ["greylet", "serve", "--dbdir=", "--trust-test-time", &unix].map(Into::into);
        greylet::commands::run(words.into_iter()).expect("it serves");
    });
    let (of_ours, took) = count_requests(&ours);
    let path = empty.clone();
    thread::spawn(move || serve_empty(&path));
    let (of_empty, _) = count_requests(&empty);
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
    let log_wakes = took.as_secs_f64() * LOG_WAKES_A_SECOND;
    let blocks_max = (REQUESTS as usize + log_wakes as usize) / WAKES_A_BLOCK + BLOCKS_MORE;
    assert!(of_ours.allocations <= blocks_max, "more than {blocks_max}");
    assert_eq!(of_ours.reallocations, 0);
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
