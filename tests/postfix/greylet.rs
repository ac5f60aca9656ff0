//! The greylet that Postfix asks: it can be stopped and started again, reads its lists anew, and says what it has decided.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};

use crate::endpoint::Endpoint;
use crate::support::{Server, request};

/// The name in the X-Greylist header.
pub(crate) const HOSTNAME: &str = "mx.rig.test";

/// See the [module](self).
pub(crate) struct Greylet {
    server: Server,
    endpoints: Vec<String>,
    lists: Lists,
    markers: u32,
}

/// Its two list files.
#[derive(Clone)]
pub(crate) struct Lists {
    pub(crate) clients: PathBuf,
    pub(crate) recipients: PathBuf,
}

impl Greylet {
    /// Starts it on these endpoints, of which the first must be a TCP port, with these lists.
    pub(crate) fn start(endpoints: &[Endpoint], lists: &Lists) -> Greylet {
        let endpoints: Vec<String> = endpoints.iter().map(Endpoint::option).collect();
        Greylet {
            server: serve(&endpoints, lists),
            endpoints,
            lists: lists.clone(),
            markers: 0,
        }
    }

    /// Stops it as init does.
    pub(crate) fn stop(&mut self) {
        let status = self.server.stop(Signal::SIGTERM);
        assert!(status.success(), "{status}: {:#?}", self.server.log);
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.server = serve(&self.endpoints, &self.lists);
    }

    /// Lets it read its lists, and waits until it has said each of these of them: one thing of each list, so that of the
    /// next reading nothing has been said.
    pub(crate) fn reload(&mut self, said: [&str; 2]) {
        let lines_before = self.server.log.len();
        kill(self.server.pid(), Signal::SIGHUP).expect("it is running");
        for text in said {
            let new = &self.server.log[lines_before..];
            if !new.iter().any(|line| line.contains(text)) {
                self.server.wait_for(text);
            }
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

    /// Waits until it has logged a line with this text, if it has not.
    pub(crate) fn wait_until_it_says(&mut self, text: &str) {
        if !self.server.log.iter().any(|line| line.contains(text)) {
            self.server.wait_for(text);
        }
    }
}

fn serve(endpoints: &[String], lists: &Lists) -> Server {
    let hostname = format!("--hostname={HOSTNAME}");
    let clients = format!("--whitelist-clients={}", lists.clients.display());
    let recipients = format!("--whitelist-recipients={}", lists.recipients.display());
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    // Nothing is kept: what greylet knows must not outlive the test.
    let options = [
        "--trust-test-time",
        "--lookup-by-subnet",
        "--delay=300",
        "--dbdir=",
        &hostname,
        &clients,
        &recipients,
    ];
    Server::start_on(&endpoints, &options)
}
