//! greylet beside the real Postfix: stories of what an SMTP client and the recipients of its mail see, and what greylet logs.
//!
//! Needs root, and Postfix (Debian's package will do; it need not be set up, and what is set up is left alone). Without them
//! nothing is tested, unless `CI` or `GREYLET_REQUIRE_POSTFIX` is set: then this fails. What needs Postgrey besides is likewise
//! left out without it, unless `CI` or `GREYLET_REQUIRE_POSTGREY` is set.

mod backup;
mod bounces;
mod by_name;
mod correspondence;
mod dovecot_auth;
mod endpoint;
mod greylet;
mod postfix;
#[path = "../postgrey/postgrey.rs"]
mod postgrey;
mod readme;
mod relay;
mod reload;
mod report;
mod rig;
mod scene;
mod smtp;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::backup::{a_backup_asks_the_same_greylet, without_an_answer_a_backup_takes_mail};
use crate::bounces::{
    a_bounce_in_a_chunk_waits, a_bounce_of_our_own_network_does_not_wait,
    a_bounce_to_several_waits_at_data, a_bounce_waits_at_data, an_address_may_be_verified,
    where_nobody_asks_about_data_a_bounce_waits_at_rcpt,
    who_leaves_bounces_to_data_without_questions_is_warned,
};
use crate::by_name::{
    a_line_is_its_network, a_provider_may_retry_from_another_network, only_suspicious_clients_wait,
};
use crate::correspondence::{
    an_answer_to_a_machine_of_ours_passes_at_once, an_answer_to_who_has_logged_in_passes_at_once,
    who_has_not_logged_in_hands_in_nothing,
};
use crate::dovecot_auth::{PLAIN_OF_ALICE, WRONG_PLAIN_OF_ALICE};
use crate::endpoint::Transport;
use crate::reload::{
    a_client_listed_at_hup_passes_in_its_open_session, a_list_that_is_gone_at_hup_stays_in_force,
    a_recipient_listed_at_hup_passes_in_an_open_transaction,
};
use crate::report::{a_report_on_mail_through_greylet, a_report_on_mail_through_postgrey};
use crate::rig::{Rig, Wiring};
use crate::scene::{Scene, assert_begins, assert_deferred, assert_delayed, deferral};
use crate::smtp::{Client, Mail};

const HOUR: u64 = 3_600;

type Story = fn(&Scene<'_>);

macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        [$((stringify!($story), $story as Story)),*]
    };
}

/// One test, so that all share one Postfix, and none changes the time of another.
#[test]
fn stories_through_postfix() {
    if let Some(lack) = postfix::missing() {
        let line = format!("{lack}: greylet is not tested beside Postfix (tests/postfix)");
        for variable in ["CI", "GREYLET_REQUIRE_POSTFIX"] {
            assert!(std::env::var_os(variable).is_none(), "{variable}: {line}");
        }
        support::say(&line);
        return;
    }
    let stories = stories![
        a_new_mail_waits_and_its_retry_is_delivered,
        postfix_asks_greylet_itself,
        the_next_host_of_the_same_24_is_the_same_client,
        the_next_host_of_the_same_64_is_the_same_client,
        what_changes_with_each_mail_does_not_matter,
        what_tells_mails_apart_matters,
        the_null_sender_waits,
        many_recipients_of_a_message_give_it_one_header,
        who_has_logged_in_does_not_wait,
        five_first_passes_an_hour_apart_whitelist_a_client,
        a_client_that_postfix_does_not_know_harms_nobody,
        a_policy_server_listed_twice_counts_once,
        a_connection_serves_many_transactions,
        a_client_listed_at_hup_passes_in_its_open_session,
        a_recipient_listed_at_hup_passes_in_an_open_transaction,
        a_list_that_is_gone_at_hup_stays_in_force,
        a_provider_may_retry_from_another_network,
        a_line_is_its_network,
        only_suspicious_clients_wait,
        a_bounce_waits_at_data,
        a_bounce_to_several_waits_at_data,
        a_bounce_in_a_chunk_waits,
        a_bounce_of_our_own_network_does_not_wait,
        an_address_may_be_verified,
        where_nobody_asks_about_data_a_bounce_waits_at_rcpt,
        who_leaves_bounces_to_data_without_questions_is_warned,
        an_answer_to_who_has_logged_in_passes_at_once,
        who_has_not_logged_in_hands_in_nothing,
        an_answer_to_a_machine_of_ours_passes_at_once,
        a_report_on_mail_through_greylet,
        a_report_on_mail_through_postgrey,
        a_backup_asks_the_same_greylet,
        // The last ones: they leave smtpds behind whose policy connections are dead.
        without_an_answer_a_backup_takes_mail,
        a_greylet_that_stops_and_comes_back,
    ];
    let rig = Rig::start();
    let mut failed = Vec::new();
    for (name, story) in stories {
        for transport in Transport::ALL {
            let begin = Instant::now();
            let log_bytes = rig.postfixes().map(|postfix| postfix.log().len());
            let scene = Scene::new(&rig, transport);
            if catch_unwind(AssertUnwindSafe(|| story(&scene))).is_err() {
                for (postfix, bytes) in rig.postfixes().into_iter().zip(log_bytes) {
                    eprintln!("{}", &postfix.log()[bytes..]);
                }
                failed.push(format!("{name}, {transport}"));
            }
            eprintln!("{name}, {transport}: {:?}", begin.elapsed());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

fn a_new_mail_waits_and_its_retry_is_delivered(scene: &Scene<'_>) {
    let mail = scene.mail();
    scene.is_deferred(&mail);
    scene.wait(299);
    scene.is_deferred(&mail);
    scene.wait(1);
    scene.is_delivered_delayed(&mail, 300);
    scene.is_delivered(&mail);
    let client_address = mail.client.client_address();
    let triplet = format!(
        "client_name=unknown, client_address={client_address}, sender=a@s.example, recipient=b@rig.test"
    );
    assert_eq!(
        scene.decisions_about(&mail.client),
        [
            format!("action=greylist, reason=new, {triplet}"),
            format!("action=greylist, reason=early-retry (1s missing), {triplet}"),
            format!("action=pass, reason=triplet found, delay=300, {triplet}"),
            format!("action=pass, reason=triplet found, {triplet}"),
        ]
    );
}

fn postfix_asks_greylet_itself(scene: &Scene<'_>) {
    let mail = scene.mail();
    let other = Mail {
        sender: "other@s.example",
        ..scene.mail()
    };
    assert_deferred(&scene.send(Wiring::Direct, &mail), &mail);
    assert_deferred(&scene.send(Wiring::FailOpen, &other), &other);
    let decisions = scene.decisions_about(&mail.client);
    assert_eq!(decisions.len(), 2, "{decisions:#?}");
    for decision in decisions {
        assert_begins(&decision, "action=greylist, reason=new, ");
    }
}

fn the_next_host_of_the_same_24_is_the_same_client(scene: &Scene<'_>) {
    let from = |client| Mail {
        client,
        ..scene.mail()
    };
    let other_network = Scene::new(scene.rig, scene.transport);
    scene.is_deferred(&from(scene.client(1)));
    scene.wait(300);
    scene.is_deferred(&from(other_network.client(1)));
    scene.is_delivered_delayed(&from(scene.client(254)), 300);
}

fn the_next_host_of_the_same_64_is_the_same_client(scene: &Scene<'_>) {
    let from = |client| Mail {
        client,
        ..scene.mail()
    };
    scene.is_deferred(&from(scene.ipv6_client(1, 1)));
    scene.wait(300);
    scene.is_deferred(&from(scene.ipv6_client(2, 1)));
    scene.is_delivered_delayed(&from(scene.ipv6_client(1, 0xffff)), 300);
}

fn what_changes_with_each_mail_does_not_matter(scene: &Scene<'_>) {
    for (first, retry) in [
        // VERP, an extension, BATV, upper and lower case.
        ("list-12-bob@s.example", "list-345-bob@s.example"),
        ("carol+1a@s.example", "carol+2b@s.example"),
        (
            "prvs=1234abcdef=dave@s.example",
            "prvs=5678abcdef=dave@s.example",
        ),
        ("Erin@S.Example", "erin@s.example"),
    ] {
        let from = |sender| Mail {
            sender,
            ..scene.mail()
        };
        scene.is_deferred(&from(first));
        scene.wait(300);
        scene.is_delivered_delayed(&from(retry), 300);
    }
    let to = |recipient| Mail {
        recipients: vec![recipient],
        ..scene.mail()
    };
    scene.is_deferred(&to("Frank@Rig.Test"));
    scene.wait(300);
    scene.is_delivered_delayed(&to("frank@rig.test"), 300);
}

fn what_tells_mails_apart_matters(scene: &Scene<'_>) {
    scene.is_deferred(&scene.mail());
    scene.wait(300);
    for sender in ["a1@s.example", "a@s2.example", "A-1@s.example", ""] {
        scene.is_deferred(&Mail {
            sender,
            ..scene.mail()
        });
    }
    for recipient in ["b1@rig.test", "b+1@rig.test"] {
        scene.is_deferred(&Mail {
            recipients: vec![recipient],
            ..scene.mail()
        });
    }
    scene.is_delivered_delayed(&scene.mail(), 300);
}

fn the_null_sender_waits(scene: &Scene<'_>) {
    let bounce = Mail {
        sender: "",
        ..scene.mail()
    };
    scene.is_deferred(&bounce);
    scene.wait(300);
    scene.is_delivered_delayed(&bounce, 300);
    scene.is_delivered(&bounce);
    let client_address = bounce.client.client_address();
    let decisions = scene.decisions_about(&bounce.client);
    assert_eq!(
        *decisions.last().expect("a decision"),
        format!(
            "action=pass, reason=triplet found, client_name=unknown, \
             client_address={client_address}, recipient=b@rig.test"
        )
    );
}

fn many_recipients_of_a_message_give_it_one_header(scene: &Scene<'_>) {
    let mail = Mail {
        recipients: vec!["b1@rig.test", "b2@rig.test", "b3@rig.test"],
        ..scene.mail()
    };
    scene.is_deferred(&mail);
    scene.wait(301);
    let outcome = scene.send(Wiring::Timed, &mail);
    for copy in scene.delivered(&outcome, &mail) {
        assert_delayed(&copy, 301);
    }
    let decisions = scene.decisions_about(&mail.client);
    let [_, _, _, first, second, third] = &decisions[..] else {
        panic!("not six decisions: {decisions:#?}");
    };
    assert_begins(first, "action=pass, reason=triplet found, delay=301, ");
    // Postfix has a queue id from the second recipient on.
    let queue_id = outcome.queue_id.expect("it was queued");
    let passed = format!("{queue_id}: action=pass, reason=triplet found, client_name=");
    for decision in [second, third] {
        assert_begins(decision, &passed);
    }
    // A new recipient among known ones waits alone.
    let mut session = scene.session(Wiring::Timed, &mail.client);
    let outcome = session.send(&Mail {
        recipients: vec!["b1@rig.test", "b4@rig.test"],
        ..mail
    });
    assert_eq!(outcome.replies, ["250 2.1.5 Ok", &deferral("b4@rig.test")]);
}

fn who_has_logged_in_does_not_wait(scene: &Scene<'_>) {
    let mail = scene.mail();
    let mut session = scene.session(Wiring::Timed, &mail.client);
    let refused = session.command(format_args!("AUTH PLAIN {WRONG_PLAIN_OF_ALICE}"));
    assert_begins(&refused, "535 ");
    assert_deferred(&session.send(&mail), &mail);
    let accepted = session.command(format_args!("AUTH PLAIN {PLAIN_OF_ALICE}"));
    assert_begins(&accepted, "235 ");
    for copy in scene.delivered(&session.send(&mail), &mail) {
        assert_eq!(copy.all("X-Greylist"), [""; 0]);
    }
    let decisions = scene.decisions_about(&mail.client);
    let [new, authenticated] = &decisions[..] else {
        panic!("not two decisions: {decisions:#?}");
    };
    assert_begins(new, "action=greylist, reason=new, ");
    assert_begins(authenticated, "action=pass, reason=authenticated, ");
}

fn five_first_passes_an_hour_apart_whitelist_a_client(scene: &Scene<'_>) {
    let client = Client {
        name: Some("mail.s.example".to_owned()),
        ..scene.client(1)
    };
    let from = |sender| Mail {
        client: client.clone(),
        sender,
        ..scene.mail()
    };
    for sender in [
        "ann@s.example",
        "bob@s.example",
        "cat@s.example",
        "dan@s.example",
        "eve@s.example",
    ] {
        scene.is_deferred(&from(sender));
        scene.wait(300);
        scene.is_delivered_delayed(&from(sender), 300);
        scene.wait(HOUR);
    }
    scene.is_delivered(&from("fay@s.example"));
    // It is the address that is whitelisted, not its network.
    scene.is_deferred(&Mail {
        client: scene.client(2),
        ..from("fay@s.example")
    });
    let address = client.client_address();
    let decisions = scene.decisions_about(&client);
    assert_eq!(
        *decisions.last().expect("a decision"),
        format!(
            "action=pass, reason=client AWL, client_name=mail.s.example, \
             client_address={address}, sender=fay@s.example, recipient=b@rig.test"
        )
    );
    let whitelisted = format!("whitelisted: mail.s.example[{address}]");
    let mut greylet = scene.greylet();
    let said = greylet.log().iter().filter(|line| **line == whitelisted);
    assert_eq!(said.count(), 1);
}

fn a_client_that_postfix_does_not_know_harms_nobody(scene: &Scene<'_>) {
    let stranger = Client {
        address: None,
        name: None,
    };
    scene.is_delivered(&Mail {
        client: stranger,
        ..scene.mail()
    });
    scene
        .greylet()
        .wait_until_it_says(0, "client_address is not an address: 'unknown'; passed");
    scene.is_deferred(&scene.mail());
}

fn a_policy_server_listed_twice_counts_once(scene: &Scene<'_>) {
    let mail = scene.mail();
    let send = || scene.send(Wiring::Twice, &mail);
    // Postfix speaks of the sender if it asks on account of the sender.
    let deferral = deferral("a@s.example").replace("Recipient", "Sender");
    assert_eq!(send().replies, [deferral]);
    scene.wait(300);
    for copy in scene.delivered(&send(), &mail) {
        assert_delayed(&copy, 300);
    }
    let decisions = scene.decisions_about(&mail.client);
    let [new, found] = &decisions[..] else {
        panic!("not two decisions: {decisions:#?}");
    };
    assert_begins(new, "action=greylist, reason=new, ");
    assert_begins(found, "action=pass, reason=triplet found, delay=300, ");
    let requests = scene.requests_about(&mail.client);
    let instances: Vec<&str> = requests
        .iter()
        .map(|request| request.attribute("instance"))
        .collect();
    // Postfix has really asked twice each time.
    let [first, second, third, fourth] = instances[..] else {
        panic!("not four requests: {requests:#?}");
    };
    assert!(first == second && third == fourth && first != third);
}

fn a_connection_serves_many_transactions(scene: &Scene<'_>) {
    let mail = scene.mail();
    let mut session = scene.session(Wiring::Timed, &mail.client);
    assert_deferred(&session.send(&mail), &mail);
    scene.wait(300);
    for copy in scene.delivered(&session.send(&mail), &mail) {
        assert_delayed(&copy, 300);
    }
    scene.delivered(&session.send(&mail), &mail);
    let requests = scene.requests_about(&mail.client);
    assert_eq!(requests.len(), 3, "{requests:#?}");
    let same = requests[0].connection;
    assert!(
        requests.iter().all(|request| request.connection == same),
        "{requests:#?}"
    );
}

fn a_greylet_that_stops_and_comes_back(scene: &Scene<'_>) {
    let client = scene.client(1);
    let from = |sender| Mail {
        sender,
        ..scene.mail()
    };
    let mut plain = scene.session(Wiring::Direct, &client);
    let mut fail_open = scene.session(Wiring::FailOpen, &client);
    assert_deferred(&plain.send(&from("a@s.example")), &from("a@s.example"));
    assert_deferred(&fail_open.send(&from("b@s.example")), &from("b@s.example"));
    scene.greylet().stop();
    let mail = from("c@s.example");
    assert_eq!(
        plain.send(&mail).replies,
        ["451 4.3.5 <b@rig.test>: Recipient address rejected: Server configuration problem"]
    );
    scene.delivered(&fail_open.send(&mail), &mail);
    scene.greylet().start_again();
    assert_deferred(&plain.send(&from("d@s.example")), &from("d@s.example"));
    assert_deferred(&fail_open.send(&from("e@s.example")), &from("e@s.example"));
}
