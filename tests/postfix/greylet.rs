//! The greylet that Postfix asks: it can be stopped and started again, reads its lists anew, and says what it has decided.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::endpoint::Endpoint;
use crate::support::{Server, request};

/// The name in the X-Greylist header.
pub(crate) const HOSTNAME: &str = "mx.rig.test";

/// See the [module](self).
pub(crate) struct Greylet {
    server: Server,
    endpoints: Vec<String>,
    options: Vec<String>,
    markers: u32,
}

/// Its two list files.
pub(crate) struct Lists {
    pub(crate) clients: PathBuf,
    pub(crate) recipients: PathBuf,
}

impl Greylet {
    /// Starts it on these endpoints, of which the first must be a TCP port, with these lists and these options besides.
    pub(crate) fn start(endpoints: &[Endpoint], lists: &Lists, options: &[&str]) -> Greylet {
        let endpoints: Vec<String> = endpoints.iter().map(Endpoint::option).collect();
        // Nothing is kept: what greylet knows must not outlive the test.
        let common = ["--trust-test-time", "--delay=300", "--dbdir="];
        let mut options: Vec<String> = [&common, options]
            .concat()
            .iter()
            .map(|it| (*it).to_owned())
            .collect();
        options.extend([
            format!("--hostname={HOSTNAME}"),
            format!("--whitelist-clients={}", lists.clients.display()),
            format!("--whitelist-recipients={}", lists.recipients.display()),
        ]);
        Greylet {
            server: serve(&endpoints, &options),
            endpoints,
            options,
            markers: 0,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Stops it as init does.
    pub(crate) fn stop(&mut self) {
        let status = self.server.stop(Signal::SIGTERM);
        assert!(status.success(), "{status}: {:#?}", self.server.log);
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.server = serve(&self.endpoints, &self.options);
    }

    /// Lets it read its lists, and waits until it has said each of these of them: one thing of each list, so that of the
    /// next reading nothing has been said.
    pub(crate) fn reload(&mut self, said: [&str; 2]) {
        let lines_before = self.server.log.len();
        kill(self.server.pid(), Signal::SIGHUP).expect("it is running");
        for text in said {
            self.wait_until_it_says(lines_before, text);
        }
    }

    /// All that it has logged until now.
    pub(crate) fn log(&mut self) -> &[String] {
        self.markers += 1;
        let marker = format!("sender=marker-{}@rig.test", self.markers);
        let (_, sender) = marker.split_once('=').expect("as written above");
        // This machine itself always passes, and leaves nothing behind but a line of the log.
        let local = [
            ("client_address", Some("127.0.0.1")),
            ("sender", Some(sender)),
        ];
        self.server.connect().ask(request(&local));
        self.server.wait_for(&marker);
        &self.server.log
    }

    /// What it has decided until now about a client.
    pub(crate) fn decisions_about(&mut self, client_address: &str) -> Vec<String> {
        let client = format!(", client_address={client_address}, ");
        let lines = self.log().iter().filter(|line| line.contains(&client));
        lines.cloned().collect()
    }

    /// Waits until it has logged a line with this text after so many others, if it has not.
    pub(crate) fn wait_until_it_says(&mut self, lines_before: usize, text: &str) {
        let new = &self.server.log[lines_before..];
        if !new.iter().any(|line| line.contains(text)) {
            self.server.wait_for(text);
        }
    }
}

fn serve(endpoints: &[String], options: &[String]) -> Server {
    let [endpoints, options] =
        [endpoints, options].map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    Server::start_on(&endpoints, &options)
}
