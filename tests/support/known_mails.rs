//! What the Postgrey knew whose databases are in tests/cases/postgrey-databases: mails that it was asked about, and what greylet, coming after
//! it, has to say to the next one.

// Each test program uses a part of this.
#![allow(dead_code)]

pub(crate) const START: u64 = 1_700_000_000;
const DAY: u64 = 86_400;

/// When Postgrey was stopped.
const END: u64 = 40 * DAY;

/// A mail that was tried once or more, always from the same machine.
pub(crate) struct Mail {
    pub(crate) address: &'static str,
    pub(crate) sender: String,
    pub(crate) recipient: &'static str,
    /// In seconds after [`START`].
    pub(crate) tries: Vec<u64>,
    /// Another machine of its network.
    pub(crate) neighbour: &'static str,
    /// The sender of the next mail.
    pub(crate) next_sender: String,
    /// How the next mail fares.
    pub(crate) then: Then,
}

/// How a mail fares right after Postgrey was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Postgrey knew it.
    Passes,
    /// It waited so many seconds for this.
    PassesFirst(u32),
    /// It waits so many seconds yet; 300 is the whole delay.
    Waits(u32),
}
use Then::{Passes, PassesFirst, Waits};

/// A try and its retry.
fn passed(first: u64) -> Vec<u64> {
    vec![first, first + 310]
}

/// All of them; no two of a machine, but for the last ones.
pub(crate) fn mails() -> Vec<Mail> {
    let mut mails = Vec::new();
    let mut mail = |[address, neighbour]: [&'static str; 2],
                    [sender, next_sender]: [&str; 2],
                    recipient: &'static str,
                    tries: Vec<u64>,
                    then: Then| {
        mails.push(Mail {
            address,
            sender: sender.to_owned(),
            recipient,
            tries,
            neighbour,
            next_sender: next_sender.to_owned(),
            then,
        });
    };
    let a = ["a@s.example"; 2];
    let b = "b@r.example";

    let used = vec![5 * DAY, 5 * DAY + 310, 20 * DAY, 39 * DAY];
    mail(["192.0.2.1", "192.0.2.200"], a, b, used, Passes);
    let network = ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::9"];
    mail(network, a, b, passed(30 * DAY), Passes);
    let long = "l".repeat(480) + "@long.example";
    for (network, senders, recipient) in [
        (["198.51.1.1", "198.51.1.2"], ["", ""], b),
        (
            ["198.51.2.1", "198.51.2.2"],
            [
                "list-return-4711-b=r.example@lists.example",
                "list-return-4899-b=r.example@lists.example",
            ],
            b,
        ),
        (
            ["198.51.3.1", "198.51.3.2"],
            ["bounce-12-345@n.example", "bounce-9-1@n.example"],
            b,
        ),
        (
            ["198.51.4.1", "198.51.4.2"],
            ["news+b=r.example@p.example", "news+77@p.example"],
            b,
        ),
        (
            ["198.51.5.1", "198.51.5.2"],
            [
                "prvs=1234abcdef=joe@batv.example",
                "prvs=0987654321=joe@batv.example",
            ],
            b,
        ),
        (
            ["198.51.6.1", "198.51.6.2"],
            ["PRVS=1234abcdef=joe@batv.example"; 2],
            b,
        ),
        (
            ["198.51.7.1", "198.51.7.2"],
            ["SRS0=43/C=46=s.example=joe@f.example"; 2],
            b,
        ),
        (["198.51.8.1", "198.51.8.2"], a, "sales/north@r.example"),
        (
            ["198.51.9.1", "198.51.9.2"],
            ["/G=Ann/S=Lee/@x400.example"; 2],
            b,
        ),
        (["198.51.10.1", "198.51.10.2"], [long.as_str(); 2], b),
        (
            ["198.51.11.1", "198.51.11.2"],
            ["A.Upper@S.EXAMPLE", "a.upper@s.example"],
            "B@R.Example",
        ),
        (
            ["198.51.12.1", "198.51.12.2"],
            ["b\\\u{f8}@s.example"; 2],
            b,
        ),
        (["198.51.13.1", "198.51.13.2"], ["joe"; 2], b),
        (
            ["198.51.14.1", "198.51.14.2"],
            ["0102018f2c11a0b3-000000@ses.example"; 2],
            b,
        ),
        (["198.51.15.1", "198.51.15.2"], a, "postmaster"),
    ] {
        mail(network, senders, recipient, passed(30 * DAY), Passes);
    }

    // Nobody can tell where this sender ends.
    let sender = ["a@b/c@s.example"; 2];
    let network = ["198.51.16.1", "198.51.16.2"];
    mail(network, sender, b, passed(30 * DAY), Waits(300));

    let max_age = 35 * DAY;
    for (network, tries, then) in [
        (["203.0.1.1", "203.0.1.2"], vec![END - 100], Waits(200)),
        (
            ["203.0.2.1", "203.0.2.2"],
            vec![END - 250, END - 100],
            Waits(50),
        ),
        (["203.0.3.1", "203.0.3.2"], vec![END - 3 * DAY], Waits(300)),
        (
            ["203.0.4.1", "203.0.4.2"],
            passed(END - max_age - 310),
            Passes,
        ),
        (
            ["203.0.5.1", "203.0.5.2"],
            passed(END - max_age - 311),
            Waits(300),
        ),
        // It came back too late, and has waited since then.
        (
            ["203.0.6.1", "203.0.6.2"],
            vec![END - 4 * DAY, END - DAY],
            PassesFirst(86_400),
        ),
        (["203.0.7.1", "203.0.7.2"], vec![END - 300, END], Passes),
    ] {
        mail(network, a, b, tries, then);
    }

    for (sender, hours) in ["a@", "b@", "c@", "d@", "e@"].into_iter().zip(1..) {
        let sender = format!("{sender}awl.example");
        let tries = passed(END - DAY + hours * 3_601);
        let network = [AUTO_WHITELISTED, "203.0.113.78"];
        mail(network, [&sender, &sender], b, tries, Passes);
    }
    mails
}

/// A client that Postgrey has auto-whitelisted.
pub(crate) const AUTO_WHITELISTED: &str = "203.0.113.77";

/// What Postgrey was asked, in its order.
pub(crate) fn requests() -> Vec<String> {
    let mails = mails();
    let mut tries: Vec<(u64, &Mail)> = mails
        .iter()
        .flat_map(|mail| mail.tries.iter().map(move |&time| (time, mail)))
        .collect();
    tries.sort_by_key(|(time, _)| *time);
    let request = |(time, mail): (u64, &Mail)| {
        let Mail {
            address,
            sender,
            recipient,
            ..
        } = mail;
        format!(
            "request=smtpd_access_policy\npolicy_test_time={}\nclient_name=unknown\nclient_address={address}\n\
             sender={sender}\nrecipient={recipient}\n\n",
            START + time
        )
    };
    tries.into_iter().map(request).collect()
}
