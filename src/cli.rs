//! Every command and option, and the spelling that Postgrey's users know: `--name=value`, a repeated option of which the last
//! counts, and `--auto-whitelist-clients` without a number.

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, FromArgs, Optionality};

use crate::error::Error;
use crate::help::help;

/// Greylisting policy server for small Postfix mail gateways.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq, Eq)]
#[argh(help_triggers("-h", "--help", "help"))]
pub struct Greylet {
    /// print the version and exit
    #[argh(switch)]
    pub version: bool,
    /// what to do
    #[argh(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq, Eq)]
#[argh(subcommand)]
pub enum Command {
    /// Be the policy server.
    Serve(Serve),
    /// Ask one.
    Query(Query),
    /// Ask greylet why.
    Explain(Explain),
    /// Ask greylet how it does.
    Stats(Stats),
    /// Let somebody's mail through.
    Allow(Allow),
    /// Unlearn.
    Forget(Forget),
    /// Look at the snapshot.
    Dump(Dump),
    /// Take over Postgrey's database.
    Import(Import),
    /// Look at the lists.
    Check(Check),
    /// Come from Postgrey.
    Migrate(Migrate),
    /// Read logs.
    Report(Report),
}

/// Answer Postfix's questions until stopped. Options have Postgrey's names and may be written --name=value.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "serve", help_triggers("-h", "--help"))]
pub struct Serve {
    /// listen on a TCP port; HOST is an IP address (IPv6 in brackets), localhost (127.0.0.1) or * (all); repeatable (default 127.0.0.1:10023)
    #[argh(option, short = 'i', arg_name = "[HOST:]PORT")]
    pub inet: Vec<String>,
    /// listen on a Unix socket; repeatable
    #[argh(option, short = 'u', arg_name = "PATH")]
    pub unix: Vec<String>,
    /// mode of Unix sockets, octal (default 0666)
    #[argh(option, arg_name = "MODE")]
    pub socketmode: Option<String>,
    /// most connections at a time (default 256)
    #[argh(option, arg_name = "N")]
    pub max_connections: Option<String>,
    /// connections that the kernel keeps waiting (default as many as it allows)
    #[argh(option, arg_name = "N")]
    pub listen_queue_size: Option<String>,
    /// close each connection after one answer, as Exim expects it
    #[argh(switch)]
    pub exim: bool,
    /// how long a new triplet is deferred (default 300)
    #[argh(option, arg_name = "SECONDS")]
    pub delay: Option<String>,
    /// how long after its first try a deferred mail may come back (default 2)
    #[argh(option, arg_name = "DAYS|HOURSh")]
    pub retry_window: Option<String>,
    /// forget what has not been seen for so long (default 35)
    #[argh(option, arg_name = "DAYS")]
    pub max_age: Option<String>,
    /// whitelist a client address after so many first passes; 0 for never (default 5)
    #[argh(option, arg_name = "N")]
    pub auto_whitelist_clients: Option<String>,
    /// know a client by the organisation of its verified name, where that is a mail server's, otherwise by its network (default)
    #[argh(switch)]
    pub lookup_by_name: bool,
    /// know a client by its network, as Postgrey does (wins over --lookup-by-name)
    #[argh(switch)]
    pub lookup_by_subnet: bool,
    /// know a client by its whole address
    #[argh(switch)]
    pub lookup_by_host: bool,
    /// length of an IPv4 network's prefix (default 24)
    #[argh(option, arg_name = "BITS")]
    pub ipv4cidr: Option<String>,
    /// length of an IPv6 network's prefix (default 64)
    #[argh(option, arg_name = "BITS")]
    pub ipv6cidr: Option<String>,
    /// who is greylisted: all, or suspicious, which are clients whose names do not show that they are mail servers (default all)
    #[argh(option, arg_name = "all|suspicious")]
    pub greylist: Option<String>,
    /// when mail without a sender is judged: at data, at rcpt, auto (data while Postfix asks about it), or it may pass (default auto; rcpt without --lookup-by-name)
    #[argh(option, arg_name = "auto|data|rcpt|pass")]
    pub null_sender: Option<String>,
    /// what Postfix is told to do with mail that must wait (default DEFER_IF_PERMIT)
    #[argh(option, arg_name = "ACTION")]
    pub greylist_action: Option<String>,
    /// what the client is told; %s is the seconds left, %r the recipient's domain
    #[argh(option, arg_name = "TEXT")]
    pub greylist_text: Option<String>,
    /// header of delayed mail; %t is the delay, %v the version, %h the host, %d the date
    #[argh(option, arg_name = "TEXT")]
    pub x_greylist_header: Option<String>,
    /// name of this host, for the header
    #[argh(option, arg_name = "NAME")]
    pub hostname: Option<String>,
    /// most entries to remember (default 65536)
    #[argh(option, arg_name = "N")]
    pub max_entries: Option<String>,
    /// accepted, needs nothing: only keyed fingerprints are ever kept
    #[argh(switch)]
    pub privacy: bool,
    /// folder for the snapshot of what must not be forgotten; an empty one keeps nothing (default $STATE_DIRECTORY, for root /var/lib/greylet, otherwise greylet in the user's state folder)
    #[argh(option, arg_name = "PATH")]
    pub dbdir: Option<String>,
    /// save so often if there is something worth it; 0 for only at the end (default 3600)
    #[argh(option, arg_name = "SECONDS")]
    pub save_interval: Option<String>,
    /// clients that are never greylisted; repeatable (default whitelist_clients and .local in /etc/greylet)
    #[argh(option, arg_name = "FILE")]
    pub whitelist_clients: Vec<String>,
    /// recipients whose mail is never greylisted; repeatable (default whitelist_recipients and .local in /etc/greylet)
    #[argh(option, arg_name = "FILE")]
    pub whitelist_recipients: Vec<String>,
    /// senders whose mail is never greylisted if the client has a verified name; repeatable (default whitelist_senders and .local in /etc/greylet)
    #[argh(option, arg_name = "FILE")]
    pub whitelist_senders: Vec<String>,
    /// the only recipients whose mail is greylisted; repeatable (default greylist_recipients and .local in /etc/greylet; without one all)
    #[argh(option, arg_name = "FILE")]
    pub greylist_recipients: Vec<String>,
    /// go on as this user once it listens (default whoever starts it)
    #[argh(option, arg_name = "NAME|UID")]
    pub user: Option<String>,
    /// go on in this group alone once it listens (default the main group of --user)
    #[argh(option, arg_name = "NAME|GID")]
    pub group: Option<String>,
    /// go to the background once it listens, and log to /dev/log
    #[argh(switch, short = 'd')]
    pub daemonize: bool,
    /// write the process id to a file, and remove it at the end
    #[argh(option, arg_name = "PATH")]
    pub pidfile: Option<String>,
    /// decide, count and log, but let all mail pass
    #[argh(switch)]
    pub dry_run: bool,
    /// which decisions are logged; warnings always are (default all)
    #[argh(option, arg_name = "all|deferred|none")]
    pub log: Option<String>,
    /// log no decisions, as --log=none (wins over --log and --verbose)
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// log repeated questions and other SMTP states than RCPT too
    #[argh(switch, short = 'v')]
    pub verbose: bool,
    /// facility of what --daemonize sends to /dev/log; also --syslogfacility and --facility (default mail)
    #[argh(option, arg_name = "NAME")]
    pub syslog_facility: Option<String>,
    /// accepted, does nothing, as in Postgrey; also --no-action
    #[argh(switch, short = 'n')]
    pub noaction: bool,
    /// say where the manual is, and exit
    #[argh(switch)]
    pub man: bool,
    /// for tests: take the request attribute policy_test_time as now; local listeners only
    #[argh(switch)]
    pub trust_test_time: bool,
    /// print the version and exit
    #[argh(switch)]
    pub version: bool,
}

/// Ask a policy server as Postfix would, and print the action. Exit status: 0 passed, 3 deferred, 4 refused, 1 no answer.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "query", help_triggers("-h", "--help"))]
pub struct Query {
    /// whom to ask; HOST is an IP address (IPv6 in brackets) or localhost (default 127.0.0.1:10023)
    #[argh(option, arg_name = "HOST:PORT|unix:PATH")]
    pub server: Option<String>,
    /// another attribute; repeatable
    #[argh(option, arg_name = "NAME=VALUE")]
    pub attribute: Vec<String>,
    /// send requests from standard input as they are
    #[argh(switch)]
    pub stdin: bool,
    /// address of the client (needed, unless --stdin)
    #[argh(option, arg_name = "ADDRESS")]
    pub client_address: Option<String>,
    /// verified name of the client (default unknown)
    #[argh(option, arg_name = "NAME")]
    pub client_name: Option<String>,
    /// envelope sender (default none, as in a bounce)
    #[argh(option, arg_name = "ADDRESS")]
    pub sender: Option<String>,
    /// envelope recipient (needed, unless --stdin)
    #[argh(option, arg_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// kind of request (default smtpd_access_policy)
    #[argh(option, arg_name = "NAME")]
    pub request: Option<String>,
    /// SMTP command that is asked about (default RCPT)
    #[argh(option, arg_name = "STATE")]
    pub protocol_state: Option<String>,
    /// SMTP or ESMTP (default ESMTP)
    #[argh(option, arg_name = "NAME")]
    pub protocol_name: Option<String>,
    /// port of the client
    #[argh(option, arg_name = "PORT")]
    pub client_port: Option<String>,
    /// unverified name of the client (default that of --client-name)
    #[argh(option, arg_name = "NAME")]
    pub reverse_client_name: Option<String>,
    /// address that the client has connected to
    #[argh(option, arg_name = "ADDRESS")]
    pub server_address: Option<String>,
    /// port that the client has connected to
    #[argh(option, arg_name = "PORT")]
    pub server_port: Option<String>,
    /// name in the client's HELO
    #[argh(option, arg_name = "NAME")]
    pub helo_name: Option<String>,
    /// number of recipients, at DATA
    #[argh(option, arg_name = "N")]
    pub recipient_count: Option<String>,
    /// queue id of the message
    #[argh(option, arg_name = "ID")]
    pub queue_id: Option<String>,
    /// name of the message transaction
    #[argh(option, arg_name = "ID")]
    pub instance: Option<String>,
    /// size of the message in bytes
    #[argh(option, arg_name = "BYTES")]
    pub size: Option<String>,
    /// argument of ETRN
    #[argh(option, arg_name = "DOMAIN")]
    pub etrn_domain: Option<String>,
    /// whether Postfix is under stress (yes or nothing)
    #[argh(option, arg_name = "YES")]
    pub stress: Option<String>,
    /// how the client has logged in
    #[argh(option, arg_name = "NAME")]
    pub sasl_method: Option<String>,
    /// as whom the client has logged in
    #[argh(option, arg_name = "NAME")]
    pub sasl_username: Option<String>,
    /// argument of AUTH= in MAIL FROM
    #[argh(option, arg_name = "NAME")]
    pub sasl_sender: Option<String>,
    /// subject of the client's certificate
    #[argh(option, arg_name = "NAME")]
    pub ccert_subject: Option<String>,
    /// issuer of the client's certificate
    #[argh(option, arg_name = "NAME")]
    pub ccert_issuer: Option<String>,
    /// fingerprint of the client's certificate
    #[argh(option, arg_name = "HEX")]
    pub ccert_fingerprint: Option<String>,
    /// fingerprint of the certificate's public key
    #[argh(option, arg_name = "HEX")]
    pub ccert_pubkey_fingerprint: Option<String>,
    /// version of TLS
    #[argh(option, arg_name = "NAME")]
    pub encryption_protocol: Option<String>,
    /// cipher of TLS
    #[argh(option, arg_name = "NAME")]
    pub encryption_cipher: Option<String>,
    /// length of the cipher's key
    #[argh(option, arg_name = "BITS")]
    pub encryption_keysize: Option<String>,
    /// policy_context of the policy service
    #[argh(option, arg_name = "TEXT")]
    pub policy_context: Option<String>,
    /// compatibility_level of Postfix
    #[argh(option, arg_name = "LEVEL")]
    pub compatibility_level: Option<String>,
    /// mail_version of Postfix
    #[argh(option, arg_name = "VERSION")]
    pub mail_version: Option<String>,
    /// server name in the TLS handshake
    #[argh(option, arg_name = "NAME")]
    pub tls_sni: Option<String>,
}

/// Ask a running greylet what it would answer to a mail, and why; nothing changes by that. Only on the same machine.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "explain", help_triggers("-h", "--help"))]
pub struct Explain {
    /// whom to ask; HOST is an IP address (IPv6 in brackets) or localhost (default 127.0.0.1:10023)
    #[argh(option, arg_name = "HOST:PORT|unix:PATH")]
    pub server: Option<String>,
    /// address of the client
    #[argh(option, arg_name = "ADDRESS")]
    pub client_address: String,
    /// verified name of the client (default unknown)
    #[argh(option, arg_name = "NAME")]
    pub client_name: Option<String>,
    /// envelope sender (default none, as in a bounce)
    #[argh(option, arg_name = "ADDRESS")]
    pub sender: Option<String>,
    /// envelope recipient
    #[argh(option, arg_name = "ADDRESS")]
    pub recipient: String,
    /// SMTP command that is asked about (default RCPT)
    #[argh(option, arg_name = "STATE")]
    pub protocol_state: Option<String>,
    /// login name, if authenticated
    #[argh(option, arg_name = "NAME")]
    pub sasl_username: Option<String>,
}

/// Ask a running greylet what it has decided since its start and in the last seven days, and how it does. Only on the same machine.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "stats", help_triggers("-h", "--help"))]
pub struct Stats {
    /// whom to ask; HOST is an IP address (IPv6 in brackets) or localhost (default 127.0.0.1:10023)
    #[argh(option, arg_name = "HOST:PORT|unix:PATH")]
    pub server: Option<String>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// print the text format that Prometheus reads
    #[argh(switch)]
    pub prometheus: bool,
}

/// Have a running greylet let somebody's mail through for some time: you are signing up for something now, say. For root and greylet's user.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "allow", help_triggers("-h", "--help"))]
pub struct Allow {
    /// greylet's socket (default control in the default folder of serve)
    #[argh(option, arg_name = "unix:PATH")]
    pub server: Option<String>,
    /// how long, from 1m to 7d: a number and s, m, h or d (default 1h)
    #[argh(option, long = "for", arg_name = "TIME")]
    pub for_: Option<String>,
    /// mail to this address, or to all of a domain
    #[argh(option, arg_name = "RECIPIENT")]
    pub recipient: Option<String>,
    /// mail from this IP address, network (ADDRESS/BITS), or verified name and those below it
    #[argh(option, arg_name = "CLIENT")]
    pub client: Option<String>,
    /// user@domain, @domain, an IP address or a network
    #[argh(positional, arg_name = "RECIPIENT|CLIENT")]
    pub whom: Option<String>,
}

/// Have a running greylet forget a mail, or without --recipient all that a client has earned. For root and greylet's user.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "forget", help_triggers("-h", "--help"))]
pub struct Forget {
    /// greylet's socket (default control in the default folder of serve)
    #[argh(option, arg_name = "unix:PATH")]
    pub server: Option<String>,
    /// address of the client
    #[argh(option, arg_name = "ADDRESS")]
    pub client_address: String,
    /// verified name of the client (default unknown)
    #[argh(option, arg_name = "NAME")]
    pub client_name: Option<String>,
    /// envelope sender (default none, as in a bounce)
    #[argh(option, arg_name = "ADDRESS")]
    pub sender: Option<String>,
    /// envelope recipient
    #[argh(option, arg_name = "ADDRESS")]
    pub recipient: Option<String>,
}

/// Say what is in a snapshot, by class and age, and whether it is whole. Exit status: 0, or 1 if it is damaged.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "dump", help_triggers("-h", "--help"))]
pub struct Dump {
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// the snapshot, or the folder it is in (default that of serve)
    #[argh(positional, arg_name = "FILE")]
    pub file: Option<String>,
}

/// Take over whom Postgrey knew, from what db_dump writes of its postgrey.db and postgrey_clients.db (Debian: db5.3-util). Both servers must be stopped.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "import", help_triggers("-h", "--help"))]
pub struct Import {
    /// as for serve
    #[argh(option, arg_name = "PATH")]
    pub dbdir: Option<String>,
    /// as Postgrey had it, and serve will
    #[argh(option, arg_name = "SECONDS")]
    pub delay: Option<String>,
    /// as for serve
    #[argh(option, arg_name = "DAYS")]
    pub max_age: Option<String>,
    /// as for serve, and Postgrey had it too
    #[argh(switch)]
    pub lookup_by_host: bool,
    /// dumps of either database; standard input without one, or where it is -
    #[argh(positional, arg_name = "FILE")]
    pub files: Vec<String>,
}

/// Read the lists as serve would, and say what is wrong with them, and whether they have a client, a recipient or a sender. Exit status: 0, or 1 if a line is invalid or can never match.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "check", help_triggers("-h", "--help"))]
pub struct Check {
    /// as for serve; repeatable
    #[argh(option, arg_name = "FILE")]
    pub whitelist_clients: Vec<String>,
    /// as for serve; repeatable
    #[argh(option, arg_name = "FILE")]
    pub whitelist_recipients: Vec<String>,
    /// as for serve; repeatable
    #[argh(option, arg_name = "FILE")]
    pub whitelist_senders: Vec<String>,
    /// as for serve; repeatable
    #[argh(option, arg_name = "FILE")]
    pub greylist_recipients: Vec<String>,
    /// as for serve, so that delays of recipients can be held against it
    #[argh(option, arg_name = "DAYS|HOURSh")]
    pub retry_window: Option<String>,
    /// which line matches this verified name of a client?
    #[argh(option, arg_name = "NAME")]
    pub client_name: Option<String>,
    /// which line matches this address of a client?
    #[argh(option, arg_name = "ADDRESS")]
    pub client_address: Option<String>,
    /// which line matches this recipient?
    #[argh(option, arg_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// which line matches this sender?
    #[argh(option, arg_name = "ADDRESS")]
    pub sender: Option<String>,
}

/// Turn Postgrey's options into greylet's, and say what differs. Reads /etc/default/postgrey when nothing is given, and Postgrey's lists.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "migrate", help_triggers("-h", "--help"))]
pub struct Migrate {
    /// the options themselves instead of a file
    #[argh(option, arg_name = "LINE")]
    pub options: Option<String>,
    /// where Postgrey's lists are (default /etc/postgrey)
    #[argh(option, arg_name = "FOLDER")]
    pub lists: Option<String>,
    /// file that sets POSTGREY_OPTS (default /etc/default/postgrey)
    #[argh(positional, arg_name = "FILE")]
    pub file: Option<String>,
}

/// Read mail logs and say what was greylisted and never came back. Reads standard input without a FILE, or where it is -.
#[derive(FromArgs, ArgsInfo, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "report", help_triggers("-h", "--help"))]
pub struct Report {
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
    /// say too what --greylist=suspicious would have done
    #[argh(switch)]
    pub what_if: bool,
    /// what Postfix's rejects contain, for logs without action lines (default Greylisted)
    #[argh(option, arg_name = "TEXT")]
    pub greylist_text: Option<String>,
    /// logs of greylet, Postgrey or Postfix, in any order
    #[argh(positional, arg_name = "FILE")]
    pub files: Vec<String>,
}

/// What the command line comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a process, and it is taken apart at once"
)]
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Something is to be done.
    Run(Command),
    /// Something is to be printed, and that is all.
    Print(String),
}

/// Reads the words after the program's name.
///
/// # Errors
///
/// The command line is wrong.
pub fn parse(words: Vec<String>) -> Result<Parsed, Error> {
    let info = Greylet::get_args_info();
    let mut commands = info.commands.iter().map(|it| &it.command);
    let command = commands.find(|it| words.first().is_some_and(|word| word == it.name));
    let words = match command {
        Some(command) => respell(command, words)?,
        None => words,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let greylet = match Greylet::from_args(&["greylet"], &words) {
        Ok(greylet) => greylet,
        Err(exit) if exit.status.is_ok() => {
            return Ok(Parsed::Print(help(command.unwrap_or(&info))));
        }
        Err(exit) => {
            // One line, without a full stop, as all our errors.
            let message: Vec<&str> = exit.output.split_whitespace().collect();
            return Err(usage(&words, message.join(" ").trim_end_matches('.')));
        }
    };
    match greylet.command {
        _ if greylet.version => Ok(print_version()),
        Some(Command::Serve(Serve { version: true, .. })) => Ok(print_version()),
        Some(Command::Serve(Serve { man: true, .. })) => Ok(Parsed::Print(
            "the manual is greylet(8), and README.md; greylet serve --help lists the options\n"
                .to_owned(),
        )),
        Some(command) => Ok(Parsed::Run(command)),
        None => Err(usage(
            &words,
            &format!("say what to do: {}", COMMANDS.join(", ")),
        )),
    }
}

const COMMANDS: [&str; 11] = [
    "serve", "query", "explain", "stats", "allow", "forget", "check", "dump", "report", "migrate",
    "import",
];

fn print_version() -> Parsed {
    Parsed::Print(format!("greylet {}\n", env!("CARGO_PKG_VERSION")))
}

fn usage(words: &[&str], message: &str) -> Error {
    let command = words.first().filter(|word| COMMANDS.contains(word));
    let command = command.map(|word| format!(" {word}")).unwrap_or_default();
    Error::usage(format!(
        "{message} (greylet{command} --help lists what there is)"
    ))
}

/// An option as it stands on the command line.
struct Given<'a> {
    value: Option<String>,
    info: &'a argh::FlagInfo<'a>,
}

/// What stands on a command line.
enum Word<'a> {
    Option(Given<'a>),
    /// Nothing that the command knows.
    Other(String),
}

/// Writes a command's words as argh wants them: the value a word of its own, and no option twice that is not repeatable.
fn respell(command: &CommandInfoWithArgs, words: Vec<String>) -> Result<Vec<String>, Error> {
    let mut words = words.into_iter();
    let mut respelled: Vec<String> = words.next().into_iter().collect();
    let (mut given, mut others): (Vec<Given<'_>>, Vec<String>) = (Vec::new(), Vec::new());
    for word in recognise(command, words)? {
        match word {
            // Not ours to judge: argh says what it is.
            Word::Other(word) => others.push(word),
            Word::Option(option) => {
                if !matches!(option.info.optionality, Optionality::Repeating) {
                    given.retain(|earlier| earlier.info.long != option.info.long);
                }
                given.push(option);
            }
        }
    }
    for option in given {
        respelled.push(option.info.long.to_owned());
        respelled.extend(option.value);
    }
    respelled.extend(others);
    Ok(respelled)
}

/// Finds the options and their values among a command's words.
fn recognise(
    command: &CommandInfoWithArgs,
    mut words: std::vec::IntoIter<String>,
) -> Result<Vec<Word<'static>>, Error> {
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        // Debian's start script has one for the text that is not set.
        if word.is_empty() && command.positionals.is_empty() {
            continue;
        }
        let Some(info) = command.flags.iter().find(|info| is_called(info, name)) else {
            // Not ours to judge: argh says what it is. But for an option it takes even this.
            let is_stdin = word == "-" && !command.positionals.is_empty();
            found.push(Word::Other(if is_stdin {
                "/dev/stdin".to_owned()
            } else {
                word
            }));
            continue;
        };
        let takes_value = matches!(info.kind, FlagInfoKind::Option { .. });
        if !takes_value && value.is_some() {
            let message = format!("{} takes no value", info.long);
            return Err(usage(&[command.name], &message));
        }
        let value = if info.long == "--auto-whitelist-clients" {
            let next = words.as_slice().first();
            let is_number =
                |word: &&String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            let next_is_ours = value.is_none() && next.filter(is_number).is_some();
            let value = if next_is_ours { words.next() } else { value };
            let value = value.filter(|value| !value.is_empty());
            Some(value.unwrap_or_else(|| "5".to_owned()))
        } else if takes_value && value.is_none() {
            words.next()
        } else {
            value
        };
        found.push(Word::Option(Given { value, info }));
    }
    Ok(found)
}

/// Takes a line of Postgrey's options apart: options of serve by their long names with their values, and words that are none.
///
/// # Errors
///
/// An option has a value that takes none.
pub fn postgrey_options(words: Vec<String>) -> Result<Vec<(String, Option<String>)>, Error> {
    let words = recognise(&Serve::get_args_info(), words.into_iter())?;
    Ok(words
        .into_iter()
        .map(|word| match word {
            Word::Option(given) => (given.info.long.to_owned(), given.value),
            Word::Other(word) => (word, None),
        })
        .collect())
}

/// Whether a word is an option's name, with one hyphen or two, as Postgrey takes them.
fn is_called(info: &argh::FlagInfo<'_>, word: &str) -> bool {
    let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
        return false;
    };
    // The name of ours for a name of Postgrey's.
    let name = match name {
        "syslogfacility" | "facility" => "syslog-facility",
        "no-action" => "noaction",
        name => name,
    };
    let letter = name.parse().ok();
    info.long.strip_prefix("--") == Some(name) || letter.is_some() && letter == info.short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, Error> {
        parse(line.split_whitespace().map(str::to_owned).collect())
    }

    fn served(line: &str) -> Serve {
        match parsed(line) {
            Ok(Parsed::Run(Command::Serve(serve))) => serve,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn wrong(line: &str) -> String {
        let error = parsed(line).unwrap_err();
        assert_eq!(error.status(), 2);
        error.to_string()
    }

    #[test]
    fn spellings() {
        let serve = served("serve --delay=60 --inet 1 -i 2 --inet=[::1]:3 -u=/a=b --quiet -v");
        assert_eq!(serve.delay.as_deref(), Some("60"));
        assert_eq!(serve.inet, ["1", "2", "[::1]:3"]);
        assert_eq!(serve.unix, ["/a=b"]);
        assert!(serve.quiet && serve.verbose);
        assert_eq!(
            served("serve --delay=1 --delay 2 --delay=3")
                .delay
                .as_deref(),
            Some("3")
        );
        let serve = served("serve --greylist-text=a=b --x-greylist-header X-G:=c");
        assert_eq!(serve.greylist_text.as_deref(), Some("a=b"));
        assert_eq!(serve.x_greylist_header.as_deref(), Some("X-G:=c"));
        let serve = served("serve --hostname -v --verbose --verbose");
        assert_eq!(serve.hostname.as_deref(), Some("-v"));
    }

    #[test]
    fn other_names_of_postgreys() {
        for word in ["--syslog-facility", "--syslogfacility", "--facility"] {
            let serve = served(&format!("serve --facility=a {word}=news"));
            assert_eq!(serve.syslog_facility.as_deref(), Some("news"));
        }
        for word in ["-n", "--noaction", "--no-action"] {
            assert!(served(&format!("serve {word}")).noaction);
        }
        assert!(served("serve -d --daemonize").daemonize);
        for line in [
            "serve -inet=10023 -u /p -delay 60 --v -facility news -no-action",
            "serve --i 10023 --u=/p --delay=60 -verbose --syslog-facility=news --n",
        ] {
            let serve = served(line);
            assert_eq!(
                (&serve.inet[..], &serve.unix[..]),
                (&["10023".to_owned()][..], &["/p".to_owned()][..])
            );
            assert_eq!(serve.delay.as_deref(), Some("60"));
            assert_eq!(serve.syslog_facility.as_deref(), Some("news"));
            assert!(serve.verbose && serve.noaction);
        }
        assert!(served("serve --q").quiet && served("serve --d").daemonize);
        assert_eq!(parsed("serve -version"), parsed("--version"));
        for word in ["inet=1", "---inet=1", "-inets=1", "--verb", "-vq"] {
            assert!(wrong(&format!("serve {word}")).contains(word));
        }
        assert!(wrong("query --facility=mail").contains("--facility"));
    }

    /// `$OPTS "$TEXT_OPT"`, of which the second is not set.
    #[test]
    fn an_empty_word() {
        let words = ["serve", "--quiet", ""].map(str::to_owned).to_vec();
        let Ok(Parsed::Run(Command::Serve(serve))) = parse(words) else {
            panic!("not served");
        };
        assert!(serve.quiet);
        let words = ["serve", "--hostname", ""].map(str::to_owned).to_vec();
        let Ok(Parsed::Run(Command::Serve(serve))) = parse(words) else {
            panic!("not served");
        };
        assert_eq!(serve.hostname.as_deref(), Some(""));
        let words = ["report", ""].map(str::to_owned).to_vec();
        let Ok(Parsed::Run(Command::Report(report))) = parse(words) else {
            panic!("no report");
        };
        assert_eq!(report.files, [""]);
    }

    #[test]
    fn auto_whitelist_clients() {
        for (line, value) in [
            ("serve", None),
            ("serve --auto-whitelist-clients", Some("5")),
            ("serve --auto-whitelist-clients=", Some("5")),
            ("serve --auto-whitelist-clients=0", Some("0")),
            ("serve --auto-whitelist-clients 7", Some("7")),
            ("serve --auto-whitelist-clients --quiet", Some("5")),
            ("serve --auto-whitelist-clients=abc", Some("abc")),
        ] {
            assert_eq!(
                served(line).auto_whitelist_clients.as_deref(),
                value,
                "{line}"
            );
        }
        assert!(wrong("serve --auto-whitelist-clients abc").contains("abc"));
    }

    #[test]
    fn files() {
        let Ok(Parsed::Run(Command::Report(report))) =
            parsed("report a --json - --what-if b --json")
        else {
            panic!("not a report");
        };
        assert!(report.json && report.what_if);
        assert_eq!(report.files, ["a", "/dev/stdin", "b"]);
        assert!(wrong("report --jsno a").contains("--jsno"));
        assert!(wrong("serve -").contains(": -"));
    }

    #[test]
    fn wrong_command_lines() {
        assert!(wrong("").contains("say what to do: serve, query, "));
        assert!(wrong("sevre").contains("sevre"));
        assert!(wrong("serve --dleay=3").contains("--dleay"));
        let message = wrong("serve --delay");
        assert!(message.starts_with("No value provided for option '--delay' (greylet serve "));
        let message = wrong("explain");
        assert!(
            message.starts_with("Required options not provided: --client-address --recipient (")
        );
        assert!(wrong("serve --quiet=yes").contains("--quiet takes no value"));
        assert!(wrong("serve extra").contains("extra"));
        assert!(wrong("serve --delay=1 -- extra").contains("extra"));
        assert_eq!(served("serve --delay=1 --").delay.as_deref(), Some("1"));
    }

    #[test]
    fn printed() {
        let version = Parsed::Print(format!("greylet {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(parsed("--version"), Ok(version));
        assert_eq!(parsed("serve --version --delay=x"), parsed("--version"));
        for line in [
            "--help",
            "-h",
            "help",
            "serve --help",
            "serve -h",
            "serve --man",
            "query --help",
        ] {
            assert!(matches!(parsed(line), Ok(Parsed::Print(_))), "{line}");
        }
    }
}
