//! What a story is told with: mail from networks that no other story has, sent at the time of the tests.

use std::cell::RefMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Transport;
use crate::greylet::Greylet;
use crate::postfix::{DOMAIN, Headers};
use crate::relay::{PolicyRequest, Relay};
use crate::rig::{Rig, Wiring};
use crate::smtp::{Client, Mail, Outcome, Session};

/// One story over one transport.
pub(crate) struct Scene<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) transport: Transport,
    wiring: Wiring,
    network: u16,
}

impl Scene<'_> {
    pub(crate) fn new(rig: &Rig, transport: Transport) -> Scene<'_> {
        Scene {
            rig,
            transport,
            wiring: Wiring::Timed,
            network: rig.fresh_network(),
        }
    }

    /// The same with mail that goes this way unless another is named, and the greylet that is asked then.
    pub(crate) fn through(&self, wiring: Wiring) -> Scene<'_> {
        Scene { wiring, ..*self }
    }

    /// A mail from the scene's first client, to be changed as needed.
    pub(crate) fn mail(&self) -> Mail<'static> {
        Mail {
            client: self.client(1),
            sender: "a@s.example",
            recipients: vec!["b@rig.test"],
        }
    }

    /// A client in the scene's /24, without a name.
    pub(crate) fn client(&self, host: u8) -> Client {
        let [high, low] = self.network.to_be_bytes();
        // 198.18.0.0/15 is for tests.
        client(Ipv4Addr::new(198, 18 + high, low, host).into())
    }

    /// A client in one of the scene's /64s, without a name.
    pub(crate) fn ipv6_client(&self, subnet: u16, host: u16) -> Client {
        // So is 2001:db8::/32.
        let address = Ipv6Addr::new(0x2001, 0xdb8, self.network, subnet, 0, 0, 0, host);
        client(address.into())
    }

    /// A domain that no other scene has.
    pub(crate) fn domain(&self) -> String {
        format!("n{}.example", self.network)
    }

    /// The client with the verified name of a host in the scene's domain.
    pub(crate) fn named(&self, host: &str, client: Client) -> Client {
        Client {
            name: Some(format!("{host}.{}", self.domain())),
            ..client
        }
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, seconds: u64) {
        self.rig.clock.advance(seconds);
    }

    /// A session that goes this way.
    pub(crate) fn session(&self, wiring: Wiring, client: &Client) -> Session {
        Session::connect(self.rig.smtpd(self.transport, wiring), client)
    }

    /// Sends a mail in a session of its own.
    pub(crate) fn send(&self, wiring: Wiring, mail: &Mail<'_>) -> Outcome {
        self.session(wiring, &mail.client).send(mail)
    }

    /// Sends a mail that must be deferred.
    #[track_caller]
    pub(crate) fn is_deferred(&self, mail: &Mail<'_>) {
        assert_deferred(&self.send(self.wiring, mail), mail);
    }

    /// Sends a mail that must be delivered, without a header of ours.
    #[track_caller]
    pub(crate) fn is_delivered(&self, mail: &Mail<'_>) {
        for copy in self.delivered(&self.send(self.wiring, mail), mail) {
            assert_eq!(copy.all("X-Greylist"), [""; 0], "{mail:?}");
        }
    }

    /// Sends a mail that must be delivered, with one header that says how long it was delayed.
    #[track_caller]
    pub(crate) fn is_delivered_delayed(&self, mail: &Mail, seconds: u64) {
        for copy in self.delivered(&self.send(self.wiring, mail), mail) {
            assert_delayed(&copy, seconds);
        }
    }

    /// The delivered copies of a mail that all its recipients must get.
    #[track_caller]
    pub(crate) fn delivered(&self, outcome: &Outcome, mail: &Mail<'_>) -> Vec<Headers> {
        for reply in &outcome.replies {
            assert_eq!(reply, "250 2.1.5 Ok", "{mail:?}");
        }
        let queue_id = outcome.queue_id.as_deref().expect("it was queued");
        let copies = self
            .rig
            .postfix(self.wiring)
            .wait_for_delivery(queue_id, mail.recipients.len());
        let mut to: Vec<&str> = copies
            .iter()
            .flat_map(|copy| copy.all("Delivered-To"))
            .collect();
        to.sort_unstable();
        assert_eq!(to, mail.recipients);
        copies
    }

    /// The greylet that is asked.
    pub(crate) fn greylet(&self) -> RefMut<'_, Greylet> {
        self.rig.greylet(self.wiring)
    }

    /// The relay that it is asked through.
    pub(crate) fn relay(&self) -> &Relay {
        self.rig.relay(self.transport, self.wiring)
    }

    /// What greylet has logged of its decisions about a client.
    pub(crate) fn decisions_about(&self, client: &Client) -> Vec<String> {
        self.greylet().decisions_about(&client.client_address())
    }

    /// What Postfix has asked, by way of the relay, about a client.
    pub(crate) fn requests_about(&self, client: &Client) -> Vec<PolicyRequest> {
        self.relay().requests_about(&client.client_address())
    }
}

fn client(address: IpAddr) -> Client {
    Client {
        address: Some(address),
        name: None,
    }
}

/// The text that all recipients of a mail that must wait are answered with.
#[track_caller]
pub(crate) fn assert_deferred(outcome: &Outcome, mail: &Mail<'_>) {
    let expected = mail.recipients.iter().map(|recipient| deferral(recipient));
    assert_eq!(outcome.replies, expected.collect::<Vec<_>>(), "{mail:?}");
    assert_eq!(outcome.queue_id, None);
}

/// A reply or a line of a log, of which the rest does not matter.
#[track_caller]
pub(crate) fn assert_begins(line: &str, begin: &str) {
    assert!(line.starts_with(begin), "not {begin:?} but {line:?}");
}

/// What Postfix answers about a recipient whose mail must wait.
pub(crate) fn deferral(recipient: &str) -> String {
    format!(
        "450 4.2.0 <{recipient}>: Recipient address rejected: \
         Greylisted, see https://www.rfc-editor.org/rfc/rfc6647"
    )
}

/// `X-Greylist: delayed 300 seconds by greylet-0.1.0 at mx.rig.test; Mon, 23 Nov 2026 20:08:13 UTC`, once.
#[track_caller]
pub(crate) fn assert_delayed(copy: &Headers, seconds: u64) {
    let headers = copy.all("X-Greylist");
    let [header] = headers[..] else {
        panic!("not one X-Greylist: {copy:?}");
    };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("delayed {seconds} seconds by greylet-{version} at mx.{DOMAIN}; ");
    let date = header.strip_prefix(&expected);
    let date = date.unwrap_or_else(|| panic!("{header:?} does not begin with {expected:?}"));
    assert_eq!(shape(date), "Aaa, 00 Aaa 0000 00:00:00 UTC", "{header}");
}

/// A date with `A` for capitals, `a` for small letters and `0` for digits, but for the time zone.
fn shape(date: &str) -> String {
    let Some(date) = date.strip_suffix(" UTC") else {
        return date.to_owned();
    };
    let kind = |letter: char| match letter {
        'A'..='Z' => 'A',
        'a'..='z' => 'a',
        '0'..='9' => '0',
        other => other,
    };
    date.chars().map(kind).collect::<String>() + " UTC"
}
