//! Who writes to a small site: mail servers with one machine or many, people at home, spam that tries once, or at once again, or properly.

use crate::model::Mail;
use crate::random::Random;

/// Somebody with machines to send from.
#[derive(Clone)]
pub(crate) struct Correspondent {
    /// Address, network, verified name.
    pub(crate) machines: Vec<(String, String, String)>,
    /// Shown by these names.
    organisation: Option<String>,
    is_mail_server: bool,
    sender_domain: String,
    senders: u64,
}

/// Who tries to deliver, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Retries until it is accepted.
    Honest,
    /// Tries once.
    OneShot,
    /// Tries again within seconds.
    Hasty,
    /// Spam with a queue.
    Queued,
}

/// A message on its way.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) from: Correspondent,
    /// As it is sent.
    pub(crate) sender: String,
    /// As it counts.
    pub(crate) folded: String,
    pub(crate) recipients: Vec<String>,
}

/// A number in letters, as digits may not count.
fn word(number: u64) -> String {
    let letters = (0..4).map(|place| char::from(b'a' + (number / 26_u64.pow(place) % 26) as u8));
    letters.collect()
}

/// An address and its network, by a number.
fn machine(net: u64, number: u64) -> (String, String) {
    if number % 5 == 4 {
        let network = format!("2001:db8:{net:x}:{number:x}");
        return (format!("{network}::9"), network);
    }
    let network = format!("{net}.{}.{}", number / 256 % 256, number % 256);
    (format!("{network}.{}", 1 + number % 200), network)
}

/// Those who write regularly.
pub(crate) fn correspondents(random: &mut Random) -> Vec<Correspondent> {
    let mut all = Vec::new();
    for number in 0..8 {
        // A provider: machines in several networks, names of mail servers, senders of a customer.
        let organisation = format!("provider{}.example", word(number));
        let machines = (0..3).map(|index| {
            let (address, network) = machine(20, number * 16 + index);
            (address, network, format!("out{index}.mail.{organisation}"))
        });
        all.push(Correspondent {
            machines: machines.collect(),
            organisation: Some(organisation.clone()),
            is_mail_server: true,
            sender_domain: format!("customer{}.example", word(number)),
            senders: random.within(1..=4),
        });
    }
    for number in 0..8 {
        // A shop: one machine that sends for itself.
        let (address, network) = machine(40, number);
        let organisation = format!("shop{}.example", word(number));
        all.push(Correspondent {
            machines: vec![(address, network, format!("www.{organisation}"))],
            organisation: Some(organisation.clone()),
            is_mail_server: false,
            sender_domain: organisation,
            senders: 2,
        });
    }
    for number in 0..6 {
        // A server at home, without a name.
        let (address, network) = machine(60, number);
        all.push(Correspondent {
            machines: vec![(address, network, "unknown".to_owned())],
            organisation: None,
            is_mail_server: false,
            sender_domain: format!("home{}.example", word(number)),
            senders: 1,
        });
    }
    all
}

/// Somebody who is seen once.
pub(crate) fn stranger(number: u64, has_name: bool) -> Correspondent {
    let (address, network) = machine(100 + number / 65_536 % 100, number);
    let organisation = has_name.then(|| format!("stranger{}.example", word(number)));
    let name = match &organisation {
        Some(organisation) => format!("mail.{organisation}"),
        None => "unknown".to_owned(),
    };
    Correspondent {
        machines: vec![(address, network, name)],
        is_mail_server: has_name,
        organisation,
        sender_domain: format!("spam{}.example", word(number)),
        senders: 1,
    }
}

/// One of the machines of a spammer with good DNS.
pub(crate) fn rented(number: u64) -> Correspondent {
    let (address, network) = machine(80, number);
    Correspondent {
        machines: vec![(address, network, format!("mail{number}.rented.example"))],
        organisation: Some("rented.example".to_owned()),
        is_mail_server: true,
        sender_domain: format!("offers{}.example", word(number)),
        senders: 1,
    }
}

impl Message {
    pub(crate) fn of(from: &Correspondent, kind: Kind, random: &mut Random) -> Message {
        let person = word(random.within(0..=from.senders - 1));
        let folded = format!("{person}@{}", from.sender_domain);
        let sender = match random.within(0..=5) {
            0 => format!("{person}+news@{}", from.sender_domain),
            1 => folded.to_uppercase(),
            _ => folded.clone(),
        };
        let count = random.within(1..=3);
        let first = random.within(0..=5);
        let recipients = (0..count)
            .map(|index| format!("user{}@site.example", word(first + index)))
            .collect();
        Message {
            kind,
            from: from.clone(),
            sender,
            folded,
            recipients,
        }
    }

    /// One without a sender.
    pub(crate) fn bounce(from: &Correspondent, kind: Kind, random: &mut Random) -> Message {
        let mut message = Message::of(from, kind, random);
        message.sender.clear();
        message.folded.clear();
        message.from.sender_domain.clear();
        // Without a sender, only a mail server's name is evidence of whose machine it is.
        if !from.is_mail_server {
            message.from.organisation = None;
        }
        message
    }

    /// Its machines have no verified names for the moment.
    pub(crate) fn lose_names(&mut self) {
        for (_, _, name) in &mut self.from.machines {
            *name = "unknown".to_owned();
        }
        self.from.organisation = None;
        self.from.is_mail_server = false;
    }

    /// One of its recipients, from one of the machines, in a message transaction.
    pub(crate) fn mail(&self, machine: usize, recipient: &str, instance: String) -> Mail {
        let (address, network, _) = &self.from.machines[machine];
        Mail {
            address: address.clone(),
            network: network.clone(),
            organisation: self.from.organisation.clone(),
            is_mail_server: self.from.is_mail_server,
            sender: self.folded.clone(),
            sender_domain: self.from.sender_domain.clone(),
            recipient: recipient.to_owned(),
            instance,
            is_listed: false,
            is_first_recipient: true,
            is_data: false,
        }
    }
}
