//! serve's options to settings: every value is checked here, and a wrong one is named with what would be right.

use std::env;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, socket};
use nix::unistd::geteuid;

use crate::cli::Serve;
use crate::daemon::{Endpoint, Facility, FolderChoice, RunAs, Settings};
use crate::engine::greylist::Rules;
use crate::engine::identity::{Lookup, Prefixes};
use crate::engine::limits::{
    ACTION_BYTES_MAX, DELAY_MAX, ENTRIES_DEFAULT, ENTRIES_MAX, ENTRIES_MIN, TEXT_BYTES_MAX,
};
use crate::engine::null_sender::NullSender;
use crate::engine::reply::Texts;
use crate::engine::time::Seconds;
use crate::engine::{Greylist, Policy};
use crate::error::Error;
use crate::lists::{Paths, Sources};

const PORT_DEFAULT: u16 = 10_023;
const CONNECTIONS_DEFAULT: u32 = 256;
const CONNECTIONS_MAX: u32 = 65_536;
const LISTEN_QUEUE_MAX: u32 = 4_096;
const MAX_AGE_DAYS_MAX: u32 = 3_650;
const SAVE_INTERVAL_DEFAULT: u32 = 3_600;
const GREYLIST_TEXT: &str = "Greylisted, see https://www.rfc-editor.org/rfc/rfc6647";
const X_GREYLIST_HEADER: &str = "X-Greylist: delayed %t seconds by greylet-%v at %h; %d";

/// Checks the options.
///
/// # Errors
///
/// The first option that is wrong.
pub fn settings(options: Serve) -> Result<Settings, Error> {
    let mut warnings = ineffective(&options);
    let mut endpoints = endpoints(&options, &mut warnings)?;
    let mut pidfile = pidfile(options.pidfile.as_deref())?;
    let rules = rules(&options)?;
    let mut lists = Sources::new(Paths {
        clients: &options.whitelist_clients,
        recipients: &options.whitelist_recipients,
        senders: &options.whitelist_senders,
        greylisted: &options.greylist_recipients,
    });
    lists.retry_window = rules.retry_window;
    if options.daemonize {
        // The daemon changes to /.
        let sockets = endpoints.iter_mut().filter_map(Endpoint::path_mut);
        for path in sockets.chain(&mut pidfile).chain(lists.paths_mut()) {
            *path = absolute(path)?;
        }
    }
    if options.trust_test_time {
        refuse_remote_test_time(&endpoints)?;
        warnings.push(
            "--trust-test-time: whoever can connect decides what time it is; for tests only".into(),
        );
    }
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.is_local()) {
        warnings.push(format!(
            "{endpoint} is not only for this machine: whoever can connect can ask, and can fill the table; see to it that a firewall lets only your mail servers in"
        ));
    }
    if options.dry_run {
        warnings.push(
            "--dry-run: nothing is deferred; the log says what would be, with dry_run=yes".into(),
        );
    }
    let texts = texts(&options, &mut warnings)?;
    let decisions = logged_decisions(&options, &mut warnings)?;
    Ok(Settings {
        endpoints,
        socket_mode: socket_mode(options.socketmode.as_deref())?,
        listen_queue: listen_queue(options.listen_queue_size.as_deref())?,
        connections_max: number(
            "--max-connections",
            options.max_connections.as_deref(),
            1..=CONNECTIONS_MAX,
            "connections",
        )?
        .unwrap_or(CONNECTIONS_DEFAULT) as usize,
        entries_max: number(
            "--max-entries",
            options.max_entries.as_deref(),
            ENTRIES_MIN..=ENTRIES_MAX,
            "entries",
        )?
        .unwrap_or(ENTRIES_DEFAULT),
        policy: Policy {
            lookup: lookup(&options)?,
            greylist: greylist(&options)?,
            null_sender: null_sender(&options)?,
            rules,
        },
        texts,
        verbosity: match (decisions, options.verbose) {
            (Decisions::None, _) => LevelFilter::Info,
            (_, true) => LevelFilter::Trace,
            (_, false) => LevelFilter::Debug,
        },
        logs_deferrals_only: decisions == Decisions::Deferred,
        is_dry_run: options.dry_run,
        lists,
        trust_test_time: options.trust_test_time,
        one_answer: options.exim,
        background: background(&options, &mut warnings)?,
        pidfile,
        folder: folder(options.dbdir.as_deref(), &mut warnings)?,
        save_interval: save_interval(options.save_interval.as_deref())?,
        run_as: RunAs::find(options.user.as_deref(), options.group.as_deref())?,
        warnings,
    })
}

/// Which decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decisions {
    All,
    Deferred,
    None,
}

fn logged_decisions(options: &Serve, warnings: &mut Vec<String>) -> Result<Decisions, Error> {
    let decisions = match options.log.as_deref() {
        None | Some("all") => Decisions::All,
        Some("deferred") => Decisions::Deferred,
        Some("none") => Decisions::None,
        Some(other) => {
            return Err(Error::usage(format!(
                "--log={other}: write all, deferred or none"
            )));
        }
    };
    if !options.quiet {
        return Ok(decisions);
    }
    // As over --verbose in Postgrey, quiet wins.
    if let Some(log) = options.log.as_deref().filter(|log| *log != "none") {
        warnings.push(format!(
            "--log={log} does nothing with --quiet, which logs no decisions: leave one of them out"
        ));
    }
    Ok(Decisions::None)
}

/// Options that are taken, so that a Postgrey line works, but do nothing yet.
fn ineffective(options: &Serve) -> Vec<String> {
    let given = [(
        "--noaction",
        options.noaction,
        "it decides and answers as always; see --dry-run",
    )];
    given
        .into_iter()
        .filter(|(_, is_given, _)| *is_given)
        .map(|(name, _, so)| format!("{name} does nothing in this version: {so}"))
        .collect()
}

fn pidfile(path: Option<&str>) -> Result<Option<PathBuf>, Error> {
    match path {
        Some("") => Err(Error::usage(
            "--pidfile: the path is empty; write one, or leave the option out",
        )),
        path => Ok(path.map(PathBuf::from)),
    }
}

/// Where the snapshot is; none if nothing is to be kept.
fn folder(dbdir: Option<&str>, warnings: &mut Vec<String>) -> Result<Option<FolderChoice>, Error> {
    let (path, is_given) = match dbdir {
        Some("") => return Ok(None),
        Some(path) => (PathBuf::from(path), true),
        None => match default_folder() {
            Some(path) => (path, false),
            None => {
                warnings.push("there is no folder to keep a snapshot in: what is remembered is lost when greylet stops (name one with --dbdir)".into());
                return Ok(None);
            }
        },
    };
    let path = absolute(&path)?;
    Ok(Some(FolderChoice { path, is_given }))
}

/// The folder of the commands that look at the snapshot too.
pub fn default_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folders) = set("STATE_DIRECTORY") {
        // Of several, with colons between them, systemd names ours first (systemd.exec(5)).
        return env::split_paths(&folders).next();
    }
    if geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/greylet"));
    }
    // XDG Base Directory Specification.
    let in_home = || Some(PathBuf::from(set("HOME")?).join(".local/state"));
    let state = set("XDG_STATE_HOME").map(PathBuf::from).or_else(in_home)?;
    Some(state.join("greylet"))
}

fn save_interval(seconds: Option<&str>) -> Result<Option<Duration>, Error> {
    let week = 7 * Seconds::DAY.get();
    let seconds = number("--save-interval", seconds, 0..=week, "seconds")?;
    let seconds = seconds.unwrap_or(SAVE_INTERVAL_DEFAULT);
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::failure(format!(
            "cannot tell in which folder {} is: {error}",
            path.display()
        ))
    })
}

/// The facility to log to in the background, if that is where it is to be.
fn background(options: &Serve, warnings: &mut Vec<String>) -> Result<Option<Facility>, Error> {
    let given = options.syslog_facility.as_deref();
    let facility = match given {
        None => Facility::MAIL,
        Some(name) => Facility::from_name(name).ok_or_else(|| {
            Error::usage(format!(
                "--syslog-facility={name}: there is no such facility; there are {}",
                Facility::NAMES.join(", ")
            ))
        })?,
    };
    if given.is_some() && !options.daemonize {
        warnings.push(
            "--syslog-facility does nothing without --daemonize: the log goes to standard output and standard error".into(),
        );
    }
    Ok(options.daemonize.then_some(facility))
}

fn endpoints(options: &Serve, warnings: &mut Vec<String>) -> Result<Vec<Endpoint>, Error> {
    let mut endpoints = Vec::new();
    for inet in &options.inet {
        endpoints.extend(inet_endpoints(inet, warnings)?);
    }
    for path in &options.unix {
        if path.is_empty() {
            return Err(Error::usage(
                "--unix: the path is empty; write one, or leave the option out",
            ));
        }
        endpoints.push(Endpoint::Unix(PathBuf::from(path)));
    }
    if endpoints.is_empty() {
        endpoints.push(Endpoint::Inet((Ipv4Addr::LOCALHOST, PORT_DEFAULT).into()));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        // Of port 0 the kernel makes another one each time.
        let is_any_port = matches!(endpoint, Endpoint::Inet(address) if address.port() == 0);
        if !is_any_port && endpoints[..index].contains(endpoint) {
            return Err(Error::usage(format!(
                "{endpoint} is given twice; leave one of them out"
            )));
        }
    }
    Ok(endpoints)
}

/// `[HOST:]PORT`, HOST an address, `[ADDRESS]`, `localhost` or `*`.
fn inet_endpoints(inet: &str, warnings: &mut Vec<String>) -> Result<Vec<Endpoint>, Error> {
    let wrong = |why: &dyn Display| {
        Error::usage(format!(
            "--inet={inet}: {why}; write PORT, ADDRESS:PORT, [IPV6-ADDRESS]:PORT, localhost:PORT or *:PORT"
        ))
    };
    let (host, port) = inet.rsplit_once(':').unwrap_or(("localhost", inet));
    let port: u16 = match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => port
            .parse()
            .map_err(|_| wrong(&"the port is not from 0 to 65535"))?,
        false => return Err(wrong(&"the port is not a number")),
    };
    let addresses: Vec<IpAddr> = match host {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into()],
        "*" if has_ipv6() => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        "*" => {
            warnings.push(format!(
                "--inet={inet}: this machine has no IPv6; listening on IPv4 only"
            ));
            vec![Ipv4Addr::UNSPECIFIED.into()]
        }
        _ => {
            let in_brackets = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            let address = match in_brackets {
                Some(host) => host.parse().map(IpAddr::V6).ok(),
                None => host.parse().map(IpAddr::V4).ok(),
            };
            let is_bare_ipv6 = inet.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok();
            vec![address.ok_or_else(|| match is_bare_ipv6 {
                true => wrong(&"an IPv6 address stands in brackets"),
                false => wrong(&"the host is not an IP address (names are not looked up)"),
            })?]
        }
    };
    Ok(addresses
        .into_iter()
        .map(|address| Endpoint::Inet(SocketAddr::new(address, port)))
        .collect())
}

fn has_ipv6() -> bool {
    socket(
        AddressFamily::Inet6,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .is_ok()
}

fn refuse_remote_test_time(endpoints: &[Endpoint]) -> Result<(), Error> {
    match endpoints.iter().find(|endpoint| !endpoint.is_local()) {
        None => Ok(()),
        Some(endpoint) => Err(Error::usage(format!(
            "--trust-test-time: {endpoint} is not only for this machine, and strangers must not set the time; listen on 127.0.0.1, [::1] or a Unix socket"
        ))),
    }
}

fn socket_mode(mode: Option<&str>) -> Result<u32, Error> {
    let Some(mode) = mode else {
        return Ok(0o666);
    };
    let digits = mode.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(if digits { mode } else { "" }, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| {
            Error::usage(format!(
                "--socketmode={mode}: not an octal mode from 0 to 0777, as 0660"
            ))
        })
}

fn listen_queue(size: Option<&str>) -> Result<Backlog, Error> {
    let name = "--listen-queue-size";
    let size = number(name, size, 1..=LISTEN_QUEUE_MAX, "connections")?;
    // Where the C library's SOMAXCONN is smaller than this, the kernel's own limit is what is left to ask for.
    let backlog = size.and_then(|size| Backlog::new(size as i32).ok());
    Ok(backlog.unwrap_or(Backlog::MAXALLOWABLE))
}

fn lookup(options: &Serve) -> Result<Lookup, Error> {
    let default = Prefixes::default();
    let prefixes = Prefixes {
        ipv4_bits: prefix_bits("--ipv4cidr", options.ipv4cidr.as_deref(), 32)?
            .unwrap_or(default.ipv4_bits),
        ipv6_bits: prefix_bits("--ipv6cidr", options.ipv6cidr.as_deref(), 128)?
            .unwrap_or(default.ipv6_bits),
    };
    // As in Postgrey, --lookup-by-host wins.
    Ok(if options.lookup_by_host {
        Lookup::Host
    } else if options.lookup_by_subnet {
        Lookup::Subnet(prefixes)
    } else {
        Lookup::Name(prefixes)
    })
}

fn greylist(options: &Serve) -> Result<Greylist, Error> {
    match options.greylist.as_deref() {
        None | Some("all") => Ok(Greylist::All),
        Some("suspicious") => Ok(Greylist::Suspicious),
        Some(other) => Err(Error::usage(format!(
            "--greylist={other}: write all or suspicious"
        ))),
    }
}

fn null_sender(options: &Serve) -> Result<NullSender, Error> {
    let is_by_name = lookup(options)?.is_by_name();
    match options.null_sender.as_deref() {
        None if is_by_name => Ok(NullSender::Auto),
        None | Some("rcpt") => Ok(NullSender::Rcpt),
        Some("auto") => Ok(NullSender::Auto),
        Some("data") => Ok(NullSender::Data),
        Some("pass") => Ok(NullSender::Pass),
        Some(other) => Err(Error::usage(format!(
            "--null-sender={other}: write auto, data, rcpt or pass"
        ))),
    }
}

fn prefix_bits(name: &str, value: Option<&str>, longest: u32) -> Result<Option<u8>, Error> {
    Ok(number(name, value, 1..=longest, "bits")?.map(|bits| bits as u8))
}

fn rules(options: &Serve) -> Result<Rules, Error> {
    let default = Rules::default();
    let day = Seconds::DAY.get();
    let delay = options.delay.as_deref();
    let delay = number("--delay", delay, 1..=DELAY_MAX.get(), "seconds")?
        .map_or(default.delay, Seconds::new);
    let retry_window =
        retry_window(options.retry_window.as_deref())?.unwrap_or(default.retry_window);
    if retry_window <= delay {
        return Err(Error::usage(format!(
            "--retry-window of {retry_window} seconds and --delay of {delay}: a retry could never be in time; the window must be longer than the delay"
        )));
    }
    let max_age = number(
        "--max-age",
        options.max_age.as_deref(),
        1..=MAX_AGE_DAYS_MAX,
        "days",
    )?;
    let auto_whitelist_clients = number(
        "--auto-whitelist-clients",
        options.auto_whitelist_clients.as_deref(),
        0..=u32::from(u16::MAX),
        "first passes",
    )?;
    Ok(Rules {
        delay,
        retry_window,
        max_age: max_age.map_or(default.max_age, |days| Seconds::new(days * day)),
        auto_whitelist_clients: auto_whitelist_clients
            .map_or(default.auto_whitelist_clients, |count| count as u16),
    })
}

/// Days, or hours with an `h`.
pub(super) fn retry_window(value: Option<&str>) -> Result<Option<Seconds>, Error> {
    const DAYS_MAX: u32 = 365;
    let Some(value) = value else {
        return Ok(None);
    };
    let in_hours = value.strip_suffix(['h', 'H']);
    let (digits, unit, most) = match in_hours {
        Some(hours) => (hours, Seconds::HOUR, DAYS_MAX * 24),
        None => (value, Seconds::DAY, DAYS_MAX),
    };
    let count = whole_number(digits).filter(|count| (1..=most).contains(count)).ok_or_else(|| {
        Error::usage(format!(
            "--retry-window={value}: not a number of days, or of hours with an h, from 1 to {DAYS_MAX} days"
        ))
    })?;
    Ok(Some(Seconds::new(count * unit.get())))
}

fn texts(options: &Serve, warnings: &mut Vec<String>) -> Result<Texts, Error> {
    let given = |option: &Option<String>, default: &str| {
        option.clone().unwrap_or_else(|| default.to_owned())
    };
    let greylist_action = given(&options.greylist_action, "DEFER_IF_PERMIT");
    check_text("--greylist-action", &greylist_action, ACTION_BYTES_MAX)?;
    if !defers(&greylist_action) {
        warnings.push(format!(
            "--greylist-action={greylist_action}: this is not a deferral (DEFER_IF_PERMIT, DEFER, 450, 451 ...); Postfix may lose or let in what should wait"
        ));
    }
    let greylist_text = given(&options.greylist_text, GREYLIST_TEXT);
    check_text("--greylist-text", &greylist_text, TEXT_BYTES_MAX)?;
    let x_greylist_header = given(&options.x_greylist_header, X_GREYLIST_HEADER);
    check_text("--x-greylist-header", &x_greylist_header, TEXT_BYTES_MAX)?;
    if !begins_with_header_name(&x_greylist_header) {
        return Err(Error::usage(format!(
            "--x-greylist-header={x_greylist_header}: Postfix takes only `Name: text`"
        )));
    }
    let hostname = match &options.hostname {
        Some(hostname) => hostname.clone(),
        None => nix::unistd::gethostname().map_or_else(
            |_| "localhost".into(),
            |name| name.to_string_lossy().into_owned(),
        ),
    };
    check_text("--hostname", &hostname, TEXT_BYTES_MAX)?;
    Ok(Texts {
        greylist_action,
        greylist_text,
        x_greylist_header,
        hostname,
    })
}

fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    let why = if text.trim().is_empty() {
        "it is empty; write one, or leave the option out for the default".to_owned()
    } else if text.len() > bytes_max {
        format!("it has {} bytes, and {bytes_max} are the most", text.len())
    } else if text.contains(char::is_control) {
        "it contains a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{name}: {why}")))
}

/// Whether an action makes the client try again.
fn defers(action: &str) -> bool {
    let verb = action.split_whitespace().next().unwrap_or_default();
    let is_code =
        verb.len() == 3 && verb.starts_with('4') && verb.bytes().all(|byte| byte.is_ascii_digit());
    is_code
        || ["DEFER", "DEFER_IF_PERMIT"]
            .iter()
            .any(|word| verb.eq_ignore_ascii_case(word))
}

/// RFC 5322: a header's name is of printable ASCII without blanks and colons.
fn begins_with_header_name(header: &str) -> bool {
    header.split_once(':').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// An option's number, if it is given.
fn number(
    name: &str,
    value: Option<&str>,
    range: RangeInclusive<u32>,
    unit: &str,
) -> Result<Option<u32>, Error> {
    let Some(value) = value else {
        return Ok(None);
    };
    match whole_number(value).filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::usage(format!(
            "{name}={value}: not a whole number of {unit} from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

/// Digits and nothing else.
fn whole_number(digits: &str) -> Option<u32> {
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, Parsed, parse};

    fn settled(words: &[&str]) -> Result<Settings, Error> {
        let words = std::iter::once("serve")
            .chain(words.iter().copied())
            .map(str::to_owned);
        match parse(words.collect())? {
            Parsed::Run(Command::Serve(options)) => settings(options),
            other => panic!("{other:?}"),
        }
    }

    fn listening(words: &[&str]) -> Vec<String> {
        settled(words)
            .unwrap()
            .endpoints
            .iter()
            .map(Endpoint::to_string)
            .collect()
    }

    #[test]
    fn defaults() {
        let settings = settled(&[]).unwrap();
        assert_eq!(
            settings.endpoints,
            [Endpoint::Inet(([127, 0, 0, 1], 10_023).into())]
        );
        assert_eq!(settings.socket_mode, 0o666);
        assert_eq!(
            (settings.entries_max, settings.connections_max),
            (65_536, 256)
        );
        assert_eq!(settings.policy, Policy::default());
        assert_eq!(settings.verbosity, LevelFilter::Debug);
        assert!(settings.warnings.is_empty() && !settings.trust_test_time);
    }

    #[test]
    fn quiet_wins() {
        let verbosity = |words: &[&str]| settled(words).unwrap().verbosity;
        assert_eq!(verbosity(&["-q"]), LevelFilter::Info);
        assert_eq!(verbosity(&["-v"]), LevelFilter::Trace);
        assert_eq!(verbosity(&["-v", "-q"]), LevelFilter::Info);
    }

    #[test]
    fn where_to_listen() {
        assert_eq!(listening(&["--inet=10023"]), ["127.0.0.1:10023"]);
        assert_eq!(listening(&["--inet=localhost:1"]), ["127.0.0.1:1"]);
        assert_eq!(
            listening(&["--inet=[::1]:2", "--unix=/a b"]),
            ["[::1]:2", "unix:/a b"]
        );
        assert_eq!(listening(&["--inet=*:3"]), ["0.0.0.0:3", "[::]:3"]);
    }

    #[test]
    fn in_the_background_paths_are_absolute() {
        let here = std::env::current_dir().unwrap();
        let settings = settled(&["-d", "--unix=a", "--pidfile=b/c"]).unwrap();
        assert_eq!(settings.endpoints, [Endpoint::Unix(here.join("a"))]);
        assert_eq!(settings.pidfile, Some(here.join("b/c")));
        assert_eq!(settings.background, Some(Facility::MAIL));
        let settings = settled(&["--unix=a", "--pidfile=b/c", "--facility=local7"]).unwrap();
        assert_eq!(settings.endpoints, [Endpoint::Unix("a".into())]);
        assert_eq!(settings.pidfile, Some("b/c".into()));
        assert_eq!(settings.background, None);
    }

    #[test]
    fn rules() {
        let words = [
            "--delay=60",
            "--retry-window=5h",
            "--max-age=7",
            "--auto-whitelist-clients=0",
        ];
        let policy = settled(&words).unwrap().policy;
        let day = Seconds::DAY.get();
        assert_eq!(
            policy.rules,
            Rules {
                delay: Seconds::new(60),
                retry_window: Seconds::new(5 * 3_600),
                max_age: Seconds::new(7 * day),
                auto_whitelist_clients: 0,
            }
        );
        let lookup = |words: &[&str]| settled(words).unwrap().policy.lookup;
        let prefixes = Lookup::Subnet(Prefixes {
            ipv4_bits: 16,
            ipv6_bits: 48,
        });
        assert_eq!(
            lookup(&["--ipv4cidr=16", "--ipv6cidr=48", "--lookup-by-subnet"]),
            prefixes
        );
        assert_eq!(
            lookup(&["--lookup-by-host", "--lookup-by-subnet"]),
            Lookup::Host
        );
    }

    #[test]
    fn wrong_values() {
        let long_text = format!("--greylist-text={}", "x".repeat(401));
        for (words, said) in [
            (
                vec!["--delay=0"],
                "--delay=0: not a whole number of seconds from 1 to 86400",
            ),
            (vec!["--delay=-5"], "--delay=-5"),
            (vec!["--delay=5m"], "--delay=5m"),
            (vec!["--delay=86401"], "--delay=86401"),
            (vec!["--delay="], "--delay="),
            (vec!["--delay=+5"], "--delay=+5"),
            (
                vec!["--delay=3600", "--retry-window=1h"],
                "longer than the delay",
            ),
            (vec!["--retry-window=0"], "--retry-window=0"),
            (vec!["--retry-window=h"], "--retry-window=h"),
            (vec!["--retry-window=9999999999"], "--retry-window"),
            (vec!["--max-age=0"], "--max-age=0"),
            (vec!["--max-age=4000"], "from 1 to 3650"),
            (
                vec!["--auto-whitelist-clients=abc"],
                "--auto-whitelist-clients=abc",
            ),
            (vec!["--ipv4cidr=0"], "--ipv4cidr=0"),
            (vec!["--ipv4cidr=33"], "--ipv4cidr=33"),
            (vec!["--ipv6cidr=129"], "--ipv6cidr=129"),
            (vec!["--max-entries=63"], "from 64 to 262144"),
            (vec!["--max-entries=262145"], "from 64 to 262144"),
            (vec!["--max-connections=0"], "--max-connections=0"),
            (vec!["--listen-queue-size=0"], "--listen-queue-size=0"),
            (vec!["--socketmode=888"], "--socketmode=888"),
            (vec!["--socketmode=1777"], "--socketmode=1777"),
            (vec!["--inet=x"], "not a number"),
            (vec!["--inet="], "--inet="),
            (vec!["--inet=70000"], "0 to 65535"),
            (vec!["--inet=mail.example:25"], "names are not looked up"),
            (vec!["--inet=::1:10023"], "in brackets"),
            (vec!["--inet=[127.0.0.1]:1"], "not an IP address"),
            (vec!["--unix="], "--unix"),
            (vec!["--unix=/a", "--unix=/a"], "unix:/a is given twice"),
            (
                vec!["--inet=7", "--inet=localhost:7"],
                "127.0.0.1:7 is given twice",
            ),
            (vec!["--pidfile="], "--pidfile: the path is empty"),
            (vec!["--facility=x"], "there are kern, user, mail, daemon"),
            (vec!["--user=no body"], "there is no user of this name"),
            (vec!["--group=no body"], "there is no group of this name"),
            (vec!["--user=4294967295"], "--user=4294967295"),
            (vec!["--user=4294967294"], "say --group too"),
            (vec!["--greylist-text="], "--greylist-text: it is empty"),
            (vec![long_text.as_str()], "it has 401 bytes"),
            (vec!["--greylist-text=a\nb"], "control character"),
            (
                vec!["--greylist-action= "],
                "--greylist-action: it is empty",
            ),
            (vec!["--x-greylist-header=delayed"], "Name: text"),
            (vec!["--x-greylist-header=X G: y"], "Name: text"),
            (
                vec!["--trust-test-time", "--inet=*:10023"],
                "--trust-test-time",
            ),
            (
                vec!["--trust-test-time", "--inet=192.0.2.1:1"],
                "192.0.2.1:1",
            ),
        ] {
            let error = settled(&words).unwrap_err();
            assert_eq!(error.status(), 2, "{words:?}");
            assert!(error.to_string().contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn warnings() {
        for (word, said) in [
            ("-n", "--noaction does nothing"),
            ("--facility=news", "nothing without --daemonize"),
            ("--inet=0.0.0.0:1", "0.0.0.0:1 is not only for this machine"),
            ("--trust-test-time", "for tests only"),
            ("--greylist-action=REJECT", "not a deferral"),
            ("--greylist-action=550", "not a deferral"),
        ] {
            let warnings = settled(&[word]).unwrap().warnings;
            assert!(
                warnings.iter().any(|warning| warning.contains(said)),
                "{word}: {warnings:?}"
            );
        }
        for word in [
            "--greylist-action=451",
            "--greylist-action=defer",
            "--privacy",
        ] {
            assert_eq!(
                settled(&[word]).unwrap().warnings,
                [] as [&str; 0],
                "{word}"
            );
        }
    }
}
