//! A server as a child process: started, found, and killed at the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::{Address, Socket};
use crate::cores::Cores;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::{limit, smol_server};

/// Where Debian's package has it.
const POSTGREY: &str = "/usr/sbin/postgrey";

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// Which server.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The fastest there could be.
    Limit,
    /// An empty one of smol.
    Smol,
    /// greylet.
    Greylet {
        /// Which build, as tables call it.
        name: &'static str,
        /// Its binary.
        binary: PathBuf,
        /// Its options, but for where it listens.
        options: Vec<String>,
    },
    /// Postgrey.
    Postgrey,
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Limit => "limit",
            Kind::Smol => "empty smol",
            Kind::Greylet { name, .. } => name,
            Kind::Postgrey => "Postgrey",
        }
    }

    /// The command that serves on an address, with its files in a folder.
    fn command(&self, cores: Cores, address: &Address, folder: &Path) -> io::Result<Command> {
        let listen = match address {
            Address::Inet(address) => format!("--inet={address}"),
            Address::Unix(path) => format!("--unix={}", path.display()),
        };
        let mut command;
        match self {
            Kind::Limit | Kind::Smol => {
                let argument = match self {
                    Kind::Limit => limit::ARGUMENT,
                    _ => smol_server::ARGUMENT,
                };
                command = cores.server_command(std::env::current_exe()?);
                command.args([argument, &address.to_string()]);
                // It ends when this pipe does.
                command.stdin(Stdio::piped());
            }
            Kind::Greylet {
                binary, options, ..
            } => {
                command = cores.server_command(binary);
                command
                    .arg("serve")
                    .arg(format!("--dbdir={}", folder.join("state").display()))
                    .arg(listen)
                    .args(options);
                command.stdin(Stdio::null());
            }
            Kind::Postgrey => {
                let owner = fs::metadata(folder)?;
                command = cores.server_command(POSTGREY);
                command
                    .arg(listen)
                    .arg(format!("--dbdir={}", folder.display()));
                // Otherwise it becomes the user that the package has made for it, who cannot write there. It takes numbers, but a
                // plain 0 is nothing to Perl.
                command.arg(format!("--user={:02}", owner.uid()));
                command.arg(format!("--group={:02}", owner.gid()));
                command.stdin(Stdio::null());
            }
        }
        Ok(command)
    }
}

/// A running server, which is killed when this is dropped.
pub(crate) struct Server {
    kind: Kind,
    child: Child,
    address: Address,
    folder: PathBuf,
    log: File,
}

impl Server {
    /// Starts a server, and waits until it listens.
    ///
    /// # Errors
    ///
    /// It is not there, or it ends, or does not listen in time.
    pub(crate) fn start(
        kind: Kind,
        socket: Socket,
        scratch: &Scratch,
        cores: Cores,
    ) -> Result<Server, String> {
        let name = kind.name();
        let folder = scratch.path().join(name);
        let failed = |error: io::Error| format!("cannot start {name}: {error}");
        fs::create_dir(&folder).map_err(failed)?;
        let address = match (socket, &kind) {
            (Socket::Unix, _) => Address::Unix(folder.join("socket")),
            // Postgrey does not tell which port it has got.
            (Socket::Tcp, Kind::Postgrey) => Address::unused_port().map_err(failed)?,
            (Socket::Tcp, _) => Address::any_port(),
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .map_err(failed)?;
        let child = kind
            .command(cores, &address, &folder)
            .and_then(|mut command| {
                command
                    .stdout(log.try_clone()?)
                    .stderr(log.try_clone()?)
                    .spawn()
            });
        let mut server = Server {
            child: child.map_err(failed)?,
            kind,
            address,
            folder,
            log,
        };
        match server.wait_until_it_listens() {
            Ok(()) => Ok(server),
            Err(message) => Err(server.blame(&message)),
        }
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it has ended at once ({status})"));
            }
            let log = self.read_log();
            let logged = log
                .lines()
                .find_map(|line| line.split_once("listening on ")?.1.trim().parse().ok());
            if let Some(address) = logged {
                self.address = address;
            }
            if self.address.connect().is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("it does not listen on {}", self.address))
    }

    /// Which server this is.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Its process.
    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Forgets what it has logged. Otherwise, the kernel would write a hundred megabytes to disk in the middle of a later measurement.
    pub(crate) fn clear_log(&self) {
        // Worth nothing more than what it is for.
        let _ = self.log.set_len(0);
    }

    /// A message about this server, with what it has said itself.
    pub(crate) fn blame(&self, message: &str) -> String {
        let log = self.read_log();
        let last_lines: Vec<&str> = log.lines().rev().take(3).collect();
        let name = self.kind.name();
        if last_lines.is_empty() {
            return format!("{name}: {message}");
        }
        let last_lines: Vec<&str> = last_lines.into_iter().rev().collect();
        format!(
            "{name}: {message}; its log ends:\n{}",
            last_lines.join("\n")
        )
    }

    fn read_log(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
