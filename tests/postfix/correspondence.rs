//! Stories of mail that our users send, and of the answers to it.

use std::net::{IpAddr, Ipv4Addr};

use crate::dovecot_auth::PLAIN_OF_ALICE;
use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins};
use crate::smtp::{Client, Mail};

const ALICE: &str = "alice@rig.test";

pub(crate) fn an_answer_to_who_has_logged_in_passes_at_once(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::Readme);
    let bert = format!("bert@{}", scene.domain());
    let answer = answer_of(&bert, scene.named("mail-1", scene.client(1)));
    scene.is_deferred(&answer);

    let mail = mail_to(&bert, scene.ipv6_client(1, 1));
    let mut session = scene.session(Wiring::Submission, &mail.client);
    let refused = session.send(&mail).replies.concat();
    assert!(refused.contains("denied"), "{refused}");
    scene.is_deferred(&answer);
    let accepted = session.command(format_args!("AUTH PLAIN {PLAIN_OF_ALICE}"));
    assert_begins(&accepted, "235 ");
    assert_eq!(session.send(&mail).replies, ["250 2.1.5 Ok"]);
    scene.is_delivered(&answer);

    let nameless = scene.ipv6_client(2, 1);
    scene.is_deferred(&answer_of(&bert, nameless));
    scene.is_deferred(&answer_of("otto@s.example", answer.client.clone()));

    let decisions = scene.decisions_about(&mail.client);
    let [authenticated] = &decisions[..] else {
        panic!("not one decision: {decisions:#?}");
    };
    assert_begins(authenticated, "action=pass, reason=authenticated, ");
    let decisions = scene.decisions_about(&answer.client);
    assert_begins(&decisions[2], "action=pass, reason=wrote to, identity=");
}

/// Or anybody could tell greylet to whom our users write, and try it out behind the restrictions of port 25.
pub(crate) fn who_has_not_logged_in_hands_in_nothing(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::Readme);
    let mail = scene.mail();
    let replies = scene.send(Wiring::Submission, &mail).replies;
    let client_address = mail.client.client_address();
    assert_eq!(
        replies,
        [format!(
            "554 5.7.1 <unknown[{client_address}]>: Client host rejected: Access denied"
        )]
    );
    let decisions = scene.decisions_about(&mail.client);
    assert!(decisions.is_empty(), "{decisions:#?}");
}

pub(crate) fn an_answer_to_a_machine_of_ours_passes_at_once(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::Readme);
    let bert = format!("bert@{}", scene.domain());
    let ours = Client {
        address: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8))),
        name: None,
    };
    let mail = mail_to(&bert, ours);
    assert_eq!(
        scene.send(Wiring::Outgoing, &mail).replies,
        ["250 2.1.5 Ok"]
    );
    scene.is_delivered(&answer_of(&bert, scene.named("mail-1", scene.client(1))));
    let decisions = scene.decisions_about(&mail.client);
    let decision = decisions.last().expect("a decision");
    assert_begins(decision, "action=pass, reason=outgoing, ");
}

fn mail_to(correspondent: &str, client: Client) -> Mail<'_> {
    Mail {
        client,
        sender: ALICE,
        recipients: vec![correspondent],
    }
}

fn answer_of(correspondent: &str, client: Client) -> Mail<'_> {
    Mail {
        client,
        sender: correspondent,
        recipients: vec![ALICE],
    }
}
