//! Senders of spam, from the simplest to those that no greylisting can keep out.
//!
//! In Levine, "Greylisting Still Works, Part II" (circleid.com), 36 % of greylisted addresses never retried, 31 % did within a
//! minute only, and the rest could have delivered; in Pagani and others (see [`senders`](super::senders)) all bots but one gave up at once. In which shares the kinds come to
//! a gateway is not known, so they are not added up. Their networks are made up.

use super::senders::GOOGLE;
use super::shape::{RetryFrom, Shape};

/// Lines of three providers of access; the names are made of the addresses.
const LINES: &[(&str, &str)] = &[
    ("100.64", "isp-one.example"),
    ("100.65", "isp-two.example"),
    ("100.66", "isp-three.example"),
];

/// As a bot with no name and no patience; the others say what they do otherwise.
const ONE_SHOT: Shape = Shape {
    name: "one try, no verified name",
    host_name: "unknown",
    networks: LINES,
    hosts: 1..=254,
    sender: "{w9}@{customer}",
    first_contact_one_in: 1,
    retried_percent: 0,
    retry_from: RetryFrom::SameHost,
    retries_min: &[],
    then_every_min: None,
    spread_s: 5,
    gives_up_h: 24.0,
};

/// See the [module](self).
pub(crate) const BOTS: [Shape; 9] = [
    ONE_SHOT,
    Shape {
        name: "retries within seconds",
        retried_percent: 100,
        retries_min: &[0.1, 0.5, 2.0],
        ..ONE_SHOT
    },
    Shape {
        name: "lines with verified names, a fifth retries after 15 min",
        host_name: "{a}-{b}-{c}-{d}.dyn.{network}",
        retried_percent: 20,
        retries_min: &[15.0],
        ..ONE_SHOT
    },
    Shape {
        name: "such lines, retry from another bot",
        host_name: "{a}-{b}-{c}-{d}.dyn.{network}",
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[15.0, 30.0, 60.0],
        ..ONE_SHOT
    },
    // What knowing a client by its name may cost: the sender is at the domain of all these lines, and nothing in their names
    // says that they are lines.
    Shape {
        name: "an ISP's lines, named without the address, as its users, retry from another",
        host_name: "cust{c}{d}.cable.{network}",
        networks: &[("100.67", "isp-four.example")],
        sender: "{w9}@{network}",
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[15.0, 30.0, 60.0],
        ..ONE_SHOT
    },
    Shape {
        name: "rented hosts with a queue",
        host_name: "vmi{c}{d}.hoster.example",
        networks: &[("100.68", ""), ("100.69", "")],
        retried_percent: 100,
        retries_min: &[5.5, 15.0, 35.0, 75.0],
        ..ONE_SHOT
    },
    Shape {
        name: "own domain, good DNS, one host, a queue",
        host_name: "mail.{network}",
        networks: &[
            ("100.70.1", "pills.example"),
            ("100.70.2", "casino.example"),
            ("100.70.3", "loans.example"),
        ],
        hosts: 25..=25,
        sender: "{w9}@{network}",
        retried_percent: 100,
        retries_min: &[5.5, 15.0, 35.0, 75.0],
        ..ONE_SHOT
    },
    Shape {
        name: "own domain, good DNS, hosts in eight networks, a queue",
        host_name: "mail{c}-{d}.offers.example",
        networks: &[
            ("100.71.1", ""),
            ("100.71.2", ""),
            ("100.71.3", ""),
            ("100.71.4", ""),
            ("100.71.5", ""),
            ("100.71.6", ""),
            ("100.71.7", ""),
            ("100.71.8", ""),
        ],
        sender: "{w9}@offers.example",
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[5.5, 15.0, 35.0, 75.0],
        ..ONE_SHOT
    },
    Shape {
        name: "accounts at Google",
        sender: "{w9}@gmail.com",
        first_contact_one_in: 1,
        ..GOOGLE
    },
];
