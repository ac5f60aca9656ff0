//! The greylet that Postfix asks: it can be stopped and started again, and says what it has decided.

use nix::sys::signal::Signal;

use crate::endpoint::Endpoint;
use crate::support::{Server, request};

/// The name in the X-Greylist header.
pub(crate) const HOSTNAME: &str = "mx.rig.test";

/// See the [module](self).
pub(crate) struct Greylet {
    server: Server,
    endpoints: Vec<String>,
    markers: u32,
}

impl Greylet {
    /// Starts it on these endpoints, of which the first must be a TCP port.
    pub(crate) fn start(endpoints: &[Endpoint]) -> Greylet {
        let endpoints: Vec<String> = endpoints.iter().map(Endpoint::option).collect();
        Greylet {
            server: serve(&endpoints),
            endpoints,
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
        self.server = serve(&self.endpoints);
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

fn serve(endpoints: &[String]) -> Server {
    let hostname = format!("--hostname={HOSTNAME}");
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    // Nothing is kept: what greylet knows must not outlive the test.
    let options = [
        "--trust-test-time",
        "--lookup-by-subnet",
        "--delay=300",
        "--dbdir=",
        &hostname,
    ];
    Server::start_on(&endpoints, &options)
}
