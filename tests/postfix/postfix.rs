//! A private Postfix in a scratch folder: its configuration, its start, what it delivers, and its end, whatever ends the tests.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// The domain that it takes mail for; every recipient exists.
pub(crate) const DOMAIN: &str = "rig.test";

/// To whom the delivered mail belongs; virtual(8) does not deliver as root.
const NOBODY: u32 = 65_534;

/// Stops Postfix and removes the folder when its standard input ends. Postfix is a daemon, so it would stay if a
/// signal ended the tests, which drops nothing.
const CLEANER: &str = r#"cat; postfix -c "$0/etc" stop; rm -rf "$0""#;

/// Without limits that a fast client runs into, without DNS, without sending anything anywhere. The folder takes the place of `@`.
const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = @/queue
data_directory = @/data
maillog_file = @/maillog
maillog_file_prefixes = @
enable_long_queue_ids = yes
myhostname = mx.rig.test
mynetworks = 198.51.100.0/24
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = rig.test
virtual_mailbox_base = @/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
default_transport = discard:nothing leaves the rig
notify_classes =
fast_flush_domains =
inet_interfaces = 127.0.0.1, ::1
inet_protocols = all
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
in_flow_delay = 0s
smtpd_error_sleep_time = 0s
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_client_auth_rate_limit = 0
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = @/auth
smtpd_tls_security_level = none
";

/// service type private unpriv chroot wakeup maxproc command
const MASTER_CF: &str = "\
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
anvil unix - - n - 1 anvil
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
";

/// An smtpd of the instance, on a port of 127.0.0.1.
pub(crate) struct Smtpd {
    pub(crate) port: u16,
    /// What it logs as.
    pub(crate) name: String,
    /// Options of master.cf, a line each, for what differs from main.cf.
    pub(crate) options: String,
}

/// See the [module](self).
pub(crate) struct Postfix {
    folder: PathBuf,
    cleaner: Child,
    marks: Cell<u32>,
}

/// What these tests need and this machine lacks.
pub(crate) fn missing() -> Option<&'static str> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let postconf = Command::new("postconf")
        .args(["-d", "mail_version"])
        .output();
    let is_installed = postconf.is_ok_and(|output| output.status.success());
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    match (is_installed, is_root, has_ipv6) {
        (false, ..) => Some("there is no Postfix in PATH"),
        (_, false, _) => Some("Postfix can be started only by root"),
        (.., false) => Some("there is no IPv6 on this machine (::1)"),
        (true, true, true) => None,
    }
}

impl Postfix {
    /// Makes the folder, in which the sockets of others may be, too.
    pub(crate) fn prepare(name: &str) -> Postfix {
        let name = format!("greylet-postfix-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("etc")).expect("a scratch folder");
        // In a process group of its own, or Ctrl-C would end it with the tests.
        let cleaner = Command::new("sh")
            .args(["-c", CLEANER])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let postfix = Postfix {
            folder,
            cleaner,
            marks: Cell::new(0),
        };
        // Postfix's processes, which are not root, have to come in.
        fs::set_permissions(postfix.path(""), PermissionsExt::from_mode(0o755))
            .expect("an open scratch folder");
        // What belongs into it Postfix makes itself.
        fs::create_dir(postfix.path("queue")).expect("a folder for the queue");
        fs::create_dir(postfix.path("mail")).expect("a folder for mail");
        chown(postfix.path("mail"), Some(NOBODY), Some(NOBODY)).expect("nobody's folder");
        postfix
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn start(&self, smtpds: &[Smtpd]) {
        let folder = self.folder.to_str().expect("a UTF-8 path");
        let main_cf = MAIN_CF.replace('@', folder);
        let master_cf: String = smtpds.iter().map(Smtpd::master_cf_entry).collect();
        fs::write(self.path("etc/main.cf"), main_cf).expect("main.cf");
        fs::write(
            self.path("etc/master.cf"),
            MASTER_CF.to_owned() + &master_cf,
        )
        .expect("master.cf");
        let output = Command::new("postfix")
            .arg("-c")
            .arg(self.path("etc"))
            .arg("start")
            .output()
            .expect("postfix starts");
        assert!(output.status.success(), "{output:?}\n{}", self.log());
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("maillog")).unwrap_or_default()
    }

    /// Lets its postlog(1) log lines for another program.
    pub(crate) fn log_for(&self, program: &str, lines: &str) {
        let mut postlog = Command::new("postlog")
            .arg("-c")
            .arg(self.path("etc"))
            .args(["-t", program])
            .stdin(Stdio::piped())
            .spawn()
            .expect("postlog starts");
        let mut stdin = postlog.stdin.take().expect("a pipe");
        stdin.write_all(lines.as_bytes()).expect("it reads all");
        drop(stdin);
        let status = postlog.wait().expect("postlog ends");
        assert!(status.success(), "postlog: {status}");
    }

    /// Where its log goes on after all that has been logged until now, some of which may not have been written yet.
    pub(crate) fn log_position(&self) -> usize {
        self.marks.set(self.marks.get() + 1);
        let mark = format!("mark {} of the tests\n", self.marks.get());
        self.log_for("postfix/tests", &mark);
        let log = self.wait_for_log(0, &mark);
        log.find(&mark).expect("as waited for") + mark.len()
    }

    /// What it has logged from this byte on, once it has logged this text there.
    pub(crate) fn wait_for_log(&self, begin: usize, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log().split_off(begin);
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the copies of a message, one for each recipient, and gives their headers.
    pub(crate) fn wait_for_delivery(&self, queue_id: &str, copies: usize) -> Vec<Headers> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut delivered = headers_in(&self.path("mail/inbox/new"));
            delivered.retain(|headers| headers.received_as(queue_id));
            if delivered.len() >= copies {
                return delivered;
            }
            assert!(Instant::now() < deadline, "{queue_id} was not delivered");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
    }
}

impl Smtpd {
    fn master_cf_entry(&self) -> String {
        let Smtpd {
            port,
            name,
            options,
        } = self;
        format!("127.0.0.1:{port} inet n - n - - smtpd\n    -o syslog_name={name}\n{options}")
    }
}

/// An option of master.cf for a line of main.cf, which may have blanks.
pub(crate) fn option(line: &str) -> String {
    format!("    -o {{ {line} }}\n")
}

/// The headers of a delivered message.
#[derive(Debug)]
pub(crate) struct Headers(String);

impl Headers {
    /// The values of all headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let value = |line| {
            let (found, value) = str::split_once(line, ": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        };
        self.0.lines().filter_map(value).collect()
    }

    fn received_as(&self, queue_id: &str) -> bool {
        self.0.contains(&format!("id {queue_id}"))
    }
}

fn headers_in(maildir: &Path) -> Vec<Headers> {
    // Before the first delivery there is no folder.
    let files = fs::read_dir(maildir).into_iter().flatten();
    let texts = files.map(|file| {
        let path = file.expect("a file").path();
        fs::read_to_string(path).expect("a message")
    });
    texts
        .map(|text| Headers(text.split("\n\n").next().unwrap_or_default().to_owned()))
        .collect()
}
