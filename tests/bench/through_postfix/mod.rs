//! What a real Postfix does in a second with greylet beside it, with the limit server, with Postgrey if wanted, and with nobody to ask.
//!
//! All are asked by one private Postfix, which has an smtpd for each of them that takes mail and one that defers it in any case, so that it has the same to do
//! whoever is asked. Its mail goes nowhere. Each round measures all in turn, for one kind of mail after the other.

mod mail;
mod session;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::{Address, Listener, Socket};
use crate::cores::Cores;
use crate::options::Options;
use crate::others::Others;
use crate::postfix::{self, Postfix, Smtpd, option};
use crate::scratch::Scratch;
use crate::server::{Kind, Server};
use crate::table::median_of;
use mail::{CLIENT_ADDRESS, Mail};

/// SMTP sessions at a time.
const SESSIONS: usize = 8;

const WARM_UP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(2_000);

/// How long Postfix may take to get rid of what it has accepted.
const QUEUE_MAX: Duration = Duration::from_secs(60);

/// Whom Postfix asks, and the smtpds that do so.
struct Subject {
    name: &'static str,
    /// Nothing if it asks nobody.
    server: Option<Server>,
    accepting: Address,
    deferring: Address,
}

/// RCPT/s of one kind of mail with one subject, a round each, and those with nobody to ask and with the limit server.
struct Row {
    mail: Mail,
    name: &'static str,
    rounds: Vec<[f64; 3]>,
}

/// Measures, and gives the table.
///
/// # Errors
///
/// Postfix is not there, or not as root, or somebody does not answer as they must.
pub(crate) fn measure(options: &Options, cores: Cores) -> Result<String, String> {
    if let Some(lack) = postfix::missing() {
        return Err(lack.to_owned());
    }
    let cores = cores.leave_to_the_scheduler();
    let scratch = Scratch::new()?;
    let subjects = start_all(options, &scratch, cores)?;
    let postfix = Postfix::prepare("load");
    postfix.start(&subjects.iter().flat_map(smtpds).collect::<Vec<_>>());

    let mut rows: Vec<Row> = Vec::new();
    let (others, next) = (Others::watch(), AtomicU64::new(0));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for mail in Mail::ALL {
            let mut order: Vec<usize> = (0..subjects.len()).collect();
            if round % 2 == 0 {
                order.reverse();
            }
            let mut rates = vec![0.0; subjects.len()];
            for index in order {
                wait_for_empty_queue(&postfix)?;
                let rate = subjects[index].rate(mail, &next);
                rates[index] = rate.map_err(|message| blame(&postfix, &message))?;
            }
            for (subject, &rate) in subjects.iter().zip(&rates) {
                let figures = [rate, rates[0], rates[1]];
                let is_its = |row: &&mut Row| row.mail == mail && row.name == subject.name;
                match rows.iter_mut().find(is_its) {
                    Some(row) => row.rounds.push(figures),
                    None => rows.push(Row {
                        mail,
                        name: subject.name,
                        rounds: vec![figures],
                    }),
                }
            }
        }
    }
    Ok(format!(
        "{}\n- medians of {} rounds, {SESSIONS} SMTP sessions\n- {others}, Postfix and the servers among them\n",
        table(&rows),
        options.rounds
    ))
}

/// Nobody comes first, and then the limit server.
fn start_all(options: &Options, scratch: &Scratch, cores: Cores) -> Result<Vec<Subject>, String> {
    let mut kinds = vec![None, Some(Kind::Limit)];
    kinds.extend(
        options
            .greylets(&["--lookup-by-subnet", "--trust-test-time"])
            .into_iter()
            .map(Some),
    );
    if options.postgrey {
        kinds.push(Some(Kind::Postgrey));
    }
    // All at a time, or two would get the same.
    let ports: Result<Vec<Listener>, _> = kinds
        .iter()
        .flat_map(|_| [(); 2])
        .map(|()| Listener::bind(&Address::any_port()))
        .collect();
    let no_port = |error| format!("no port is left: {error}");
    let ports = ports.map_err(no_port)?;
    let mut ports = ports.iter().map(Listener::address);
    let mut subjects = Vec::new();
    for kind in kinds {
        let mut port = || {
            let port = ports.next().unwrap_or_else(Address::unused_port);
            port.map_err(no_port)
        };
        let (accepting, deferring) = (port()?, port()?);
        let name = kind.as_ref().map_or("none", Kind::name);
        let judges = !matches!(kind, None | Some(Kind::Limit));
        let server = kind
            .map(|kind| Server::start(kind, Socket::Tcp, scratch, cores))
            .transpose()?;
        if let Some(server) = server.as_ref().filter(|_| judges) {
            let known = mail::make_known(server.address());
            known.map_err(|message| server.blame(&message))?;
        }
        subjects.push(Subject {
            name,
            server,
            accepting,
            deferring,
        });
    }
    Ok(subjects)
}

fn smtpds(subject: &Subject) -> [Smtpd; 2] {
    let asks = match &subject.server {
        Some(server) => format!("check_policy_service inet:{}", server.address()),
        None => String::new(),
    };
    let smtpd = |address: &Address, then: &str| Smtpd {
        port: match address {
            Address::Inet(address) => address.port(),
            Address::Unix(_) => unreachable!("none of them is"),
        },
        name: "load".to_owned(),
        options: [
            option("smtpd_sasl_auth_enable = no"),
            option("smtpd_upstream_proxy_protocol = haproxy"),
            // Or it would have to take the mail itself.
            option(&format!("mynetworks = {CLIENT_ADDRESS}")),
            option(&format!("smtpd_recipient_restrictions = {asks} {then}")),
        ]
        .concat(),
    };
    [
        smtpd(&subject.accepting, ""),
        smtpd(&subject.deferring, "defer"),
    ]
}

impl Subject {
    /// RCPT/s.
    fn rate(&self, mail: Mail, next: &AtomicU64) -> Result<f64, String> {
        if let Some(server) = &self.server {
            server.clear_log();
        }
        let smtpd = if mail.is_accepted {
            &self.accepting
        } else {
            &self.deferring
        };
        let (answered, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let send = || {
            while !is_over.load(Ordering::Relaxed) {
                session::send(smtpd, mail, next.fetch_add(1, Ordering::Relaxed), &answered)?;
            }
            Ok::<_, String>(())
        };
        thread::scope(|scope| {
            let sessions: Vec<_> = (0..SESSIONS).map(|_| scope.spawn(send)).collect();
            thread::sleep(WARM_UP);
            let (start, before) = (Instant::now(), answered.load(Ordering::Relaxed));
            thread::sleep(WINDOW);
            let (elapsed, after) = (start.elapsed(), answered.load(Ordering::Relaxed));
            is_over.store(true, Ordering::Relaxed);
            for session in sessions {
                let sent = session.join().map_err(|_| "a session panicked".to_owned());
                sent.and_then(|sent| sent).map_err(|message| {
                    let server = self.server.as_ref();
                    server.map_or(message.clone(), |server| server.blame(&message))
                })?;
            }
            Ok((after - before) as f64 / elapsed.as_secs_f64())
        })
    }
}

/// So that nobody is measured while the mail of another is on its way.
fn wait_for_empty_queue(postfix: &Postfix) -> Result<(), String> {
    let is_empty = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut it| it.next().is_none());
    let deadline = Instant::now() + QUEUE_MAX;
    while Instant::now() < deadline {
        let queues = ["queue/maildrop", "queue/incoming", "queue/active"];
        if queues.iter().all(|queue| is_empty(&postfix.path(queue))) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err("Postfix does not get rid of its mail".to_owned())
}

/// A message with why Postfix has ended one of its processes, if it has.
fn blame(postfix: &Postfix, message: &str) -> String {
    let log = postfix.log();
    match log.lines().rev().find(|line| line.contains("fatal: ")) {
        Some(line) => format!("{message}; Postfix says: {line}"),
        None => message.to_owned(),
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| a session | policy service | RCPT/s | of none | of limit |\n\
         |---|---|--:|--:|--:|\n",
    );
    for row in rows {
        let median = |figure: fn(&[f64; 3]) -> f64| median_of(row.rounds.iter().map(figure));
        // Cannot fail: a String takes everything.
        let _ = writeln!(
            table,
            "| {} | {} | {:.0} | {:.2} | {:.2} |",
            row.mail.name,
            row.name,
            median(|[own, ..]| *own),
            median(|[own, none, _]| own / none),
            median(|[own, _, limit]| own / limit),
        );
    }
    table
}
