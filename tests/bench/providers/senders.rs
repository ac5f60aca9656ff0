//! Ten big providers, and a small one.
//!
//! Nobody publishes all of his retry behaviour, so each comment says what is documented, and what is assumed. "Measured" is
//! Pagani and others, "Measuring the Role of Greylisting and Nolisting in Fighting Spam", DSN 2016, who deferred mail of webmail
//! providers for six hours, and noted the times of retries and the addresses that they came from; "list" is Postgrey's
//! postgrey_whitelist_clients, "issue" one of github.com/schweikert/postgrey. Names and networks are real; how many of them take part is
//! assumed where nothing is said, and rather few: that is in favour of Postgrey's rule. Where a provider retries from another host but nobody says
//! in which network, it may be any of those given.

use super::shape::{RetryFrom, Shape};

/// Assumed: of three mails two are from a sender to a recipient who have met.
const CORRESPONDENCE: u64 = 3;

/// Measured: these times, 7 addresses in 9 tries. List: "big pool". Assumed: four networks, 150 minutes from there on, three
/// days.
pub(crate) const GOOGLE: Shape = Shape {
    name: "Google",
    host_name: "mail-{network}-f{d}.google.com",
    networks: &[
        ("209.85.208", "ed1"),
        ("209.85.167", "lf1"),
        ("209.85.221", "wr1"),
        ("209.85.219", "yb1"),
    ],
    hosts: 41..=54,
    sender: "{person}@gmail.com",
    first_contact_one_in: CORRESPONDENCE,
    retried_percent: 100,
    retry_from: RetryFrom::Pool,
    retries_min: &[6.0, 29.0, 56.6, 98.7, 162.0, 229.7, 309.1, 434.8],
    then_every_min: Some(150.0),
    spread_s: 30,
    gives_up_h: 72.0,
};

/// See the [module](self).
pub(crate) const PROVIDERS: [Shape; 11] = [
    GOOGLE,
    // Microsoft's FAQ on deferred messages: the first few retries after 15 minutes or less each, then up to 60, for one day.
    // Issues 49 and 57: six data centres for one mail, more than 15 addresses before one came back. Assumed: the exact times, 24
    // networks.
    Shape {
        name: "Exchange Online",
        host_name: "mail-{network}{d}.outbound.protection.outlook.com",
        networks: &[
            ("40.107.0", "eopbgr000"),
            ("40.107.1", "eopbgr100"),
            ("40.107.2", "eopbgr200"),
            ("40.107.3", "eopbgr300"),
            ("40.107.4", "eopbgr400"),
            ("40.107.5", "eopbgr500"),
            ("40.107.6", "eopbgr600"),
            ("40.107.7", "eopbgr700"),
            ("40.107.8", "eopbgr800"),
            ("40.107.13", "eopbgr1300"),
            ("40.107.14", "eopbgr1400"),
            ("40.107.15", "eopbgr1500"),
            ("40.107.20", "am6eur05on20"),
            ("40.107.21", "vi1eur05on21"),
            ("40.107.22", "am6eur05on22"),
            ("104.47.0", "he1eur01on00"),
            ("104.47.1", "ve1eur01on00"),
            ("104.47.2", "db5eur01on00"),
            ("104.47.4", "ve1eur02on00"),
            ("104.47.5", "he1eur02on00"),
            ("104.47.6", "am5eur02on00"),
            ("104.47.8", "db5eur03on00"),
            ("104.47.9", "ve1eur03on00"),
            ("104.47.10", "am5eur03on00"),
        ],
        hosts: 40..=89,
        sender: "{person}@{customer}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[
            5.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 165.0, 210.0, 270.0,
        ],
        then_every_min: Some(60.0),
        spread_s: 60,
        gives_up_h: 24.0,
    },
    // Issues 37 and 48: retries from other hosts of the same network, the first after 5 min 38 s, and another sender for each mail. SES API,
    // DeliveryOptions: 840 minutes at most. Assumed: the later times.
    Shape {
        name: "Amazon SES",
        host_name: "{network}-{d}.smtp-out.amazonses.com",
        networks: &[
            ("54.240.8", "a8"),
            ("54.240.9", "a9"),
            ("54.240.10", "a10"),
            ("54.240.11", "a11"),
        ],
        hosts: 10..=220,
        sender: "0100{x12}-{x8}-{x4}-{x4}-{x4}-{x12}-000000@mail.{customer}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::SameNetwork,
        retries_min: &[5.6, 15.0, 35.0, 75.0, 155.0],
        then_every_min: Some(120.0),
        spread_s: 30,
        gives_up_h: 14.0,
    },
    // SendGrid's documentation: for 72 hours. Issue 49: the retry from another network, 167.89.104 after 167.89.93. Assumed: the times, four
    // networks, all customers on shared addresses.
    Shape {
        name: "SendGrid",
        host_name: "o{c}x{d}.outbound-mail.sendgrid.net",
        networks: &[
            ("167.89.93", ""),
            ("167.89.104", ""),
            ("149.72.126", ""),
            ("159.183.114", ""),
        ],
        hosts: 10..=90,
        sender: "bounces+{account}-{x4}-{verp}@em.{customer}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[1.0, 11.0, 41.0, 101.0, 221.0],
        then_every_min: Some(240.0),
        spread_s: 60,
        gives_up_h: 72.0,
    },
    // Pull request 64: another sender for each mail, the retry after 15 minutes. docker-mailserver/docker-mailserver, issue 2040: each server of
    // a large pool greylisted for itself. List: 205.201.128.0/20, 198.2.128.0/18. Assumed: the later times, eight networks, three days.
    Shape {
        name: "Mailchimp Transactional",
        host_name: "mail{c}-{d}.suw31.mandrillapp.com",
        networks: &[
            ("198.2.128", ""),
            ("198.2.132", ""),
            ("198.2.136", ""),
            ("198.2.179", ""),
            ("198.2.180", ""),
            ("198.2.186", ""),
            ("205.201.134", ""),
            ("205.201.136", ""),
        ],
        hosts: 1..=60,
        sender: "bounce-md_{account}.{x8}.v1-{x32}@mail.{customer}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[15.0, 30.0, 45.0, 60.0],
        then_every_min: Some(60.0),
        spread_s: 60,
        gives_up_h: 72.0,
    },
    // Mailgun's documentation: these times, 8 hours. mailgun/mailgun-go, pull request 123: what is greylisted is retried from the same
    // address. List: "large pool".
    Shape {
        name: "Mailgun",
        host_name: "m{c}-{d}.mailgun.net",
        networks: &[
            ("69.72.43", ""),
            ("198.61.254", ""),
            ("159.135.228", ""),
            ("143.55.232", ""),
        ],
        hosts: 1..=60,
        sender: "bounce+{x6}.{x6}-{verp}@mg.{customer}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::SameHost,
        retries_min: &[10.0, 25.0, 55.0, 115.0, 235.0, 475.0],
        then_every_min: None,
        spread_s: 30,
        gives_up_h: 8.0,
    },
    // Measured: these times, always the same address. List: "big pool". Assumed: five days.
    Shape {
        name: "Yahoo",
        host_name: "sonic{network}-{d}.consmr.mail.ne1.yahoo.com",
        networks: &[
            ("66.163.185", "305"),
            ("66.163.187", "306"),
            ("66.163.189", "309"),
            ("66.163.191", "315"),
        ],
        hosts: 10..=60,
        sender: "{person}@yahoo.com",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::SameHost,
        retries_min: &[2.1, 5.7, 13.0, 27.3, 55.2, 109.6, 216.8, 430.6],
        then_every_min: Some(240.0),
        spread_s: 10,
        gives_up_h: 120.0,
    },
    // docker-mailserver/docker-mailserver, issue 3497: a retry within 127 seconds, from the same address. Assumed: the rest.
    Shape {
        name: "iCloud",
        host_name: "ms11p00im-qufo17{c}{d}01.me.com",
        networks: &[
            ("17.58.23", ""),
            ("17.58.38", ""),
            ("17.58.63", ""),
            ("17.57.155", ""),
        ],
        hosts: 10..=60,
        sender: "{person}@icloud.com",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::SameHost,
        retries_min: &[2.0, 6.0, 14.0, 30.0, 60.0, 120.0],
        then_every_min: Some(120.0),
        spread_s: 10,
        gives_up_h: 72.0,
    },
    // Measured: these times, 3 addresses in 10 tries. Assumed: four addresses in two networks, two days.
    Shape {
        name: "GMX",
        host_name: "mout.gmx.net",
        networks: &[("212.227.15", ""), ("212.227.17", "")],
        hosts: 18..=19,
        sender: "{person}@gmx.net",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[5.1, 12.6, 23.9, 40.8, 66.2, 104.3, 161.5, 247.1, 375.7],
        then_every_min: Some(180.0),
        spread_s: 10,
        gives_up_h: 48.0,
    },
    // Issue 46: 15 connections from 13 hosts of two kinds. Issue 107: the form of the sender. Assumed: that its first two parts are
    // others for each mail, that the two kinds of hosts are two networks, the times, three days.
    Shape {
        name: "X",
        host_name: "{network}-{c}{d}.x.com",
        networks: &[
            ("199.16.156", "spring-chicken"),
            ("199.59.150", "spruce-goose"),
        ],
        hosts: 70..=110,
        sender: "n01{x8}-{x16}-{verp===}@bounce.x.com",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::Pool,
        retries_min: &[5.0, 15.0, 35.0, 75.0, 155.0],
        then_every_min: Some(120.0),
        spread_s: 300,
        gives_up_h: 72.0,
    },
    // Postfix as it comes (postconf(5)): a queue run every 300 s, retries after 300 s and then twice as long each, up to 4,000 s, five days.
    Shape {
        name: "small, one Postfix",
        host_name: "mail.{network}",
        networks: &[
            ("192.0.2", "club.example"),
            ("198.51.100", "school.example"),
            ("203.0.113", "town.example"),
        ],
        hosts: 25..=25,
        sender: "{person}@{network}",
        first_contact_one_in: CORRESPONDENCE,
        retried_percent: 100,
        retry_from: RetryFrom::SameHost,
        retries_min: &[5.0, 15.0, 35.0, 75.0],
        then_every_min: Some(66.7),
        spread_s: 300,
        gives_up_h: 120.0,
    },
];
