//! Stories of mail without a sender. It waits at DATA where Postfix asks about DATA, as it does with README's lines in main.cf.

use std::net::{IpAddr, Ipv4Addr};

use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins, assert_delayed};
use crate::smtp::{Client, Mail, Outcome};

const DAY: u64 = 86_400;

pub(crate) fn a_bounce_waits_at_data(scene: &Scene<'_>) {
    let scene = asked_about_data(scene);
    let bounce = bounce(&scene);
    let send = || scene.send(Wiring::Readme, &bounce);
    assert_deferred_at_data(&send());
    scene.wait(299);
    assert_deferred_at_data(&send());
    scene.wait(1);
    scene.is_delivered_delayed(&bounce, 300);
    scene.is_delivered(&bounce);
    let client_address = bounce.client.client_address();
    let triplet =
        format!("client_name=unknown, client_address={client_address}, recipient=b@rig.test");
    let decisions = scene.decisions_about(&bounce.client);
    let (at_rcpt, at_data): (Vec<String>, Vec<String>) = decisions
        .into_iter()
        .partition(|line| line.starts_with("action="));
    let left_to_data = format!("action=pass, reason=null sender before DATA, {triplet}");
    assert_eq!(at_rcpt, vec![left_to_data; 4]);
    // By then Postfix has a queue id.
    let at_data = at_data
        .iter()
        .map(|line| line.split_once(": ").map_or("", |(_, text)| text));
    assert_eq!(
        at_data.collect::<Vec<_>>(),
        [
            format!("action=greylist, reason=new, {triplet}"),
            format!("action=greylist, reason=early-retry (1s missing), {triplet}"),
            format!("action=pass, reason=triplet found, delay=300, {triplet}"),
            format!("action=pass, reason=triplet found, {triplet}"),
        ]
    );
}

/// Of whom Postfix names none at DATA.
pub(crate) fn a_bounce_to_several_waits_at_data(scene: &Scene<'_>) {
    let scene = asked_about_data(scene);
    let bounce = Mail {
        recipients: vec!["b1@rig.test", "b2@rig.test"],
        ..bounce(&scene)
    };
    assert_deferred_at_data(&scene.send(Wiring::Readme, &bounce));
    scene.wait(300);
    scene.is_delivered_delayed(&bounce, 300);
    scene.is_delivered(&bounce);
}

/// BDAT, of which Postfix asks as of DATA.
pub(crate) fn a_bounce_in_a_chunk_waits(scene: &Scene<'_>) {
    let scene = asked_about_data(scene);
    let bounce = bounce(&scene);
    let send = || {
        let mut session = scene.session(Wiring::Readme, &bounce.client);
        session.send_in_a_chunk(&bounce)
    };
    assert_deferred_at_data(&send());
    scene.wait(300);
    for copy in scene.delivered(&send(), &bounce) {
        assert_delayed(&copy, 300);
    }
}

pub(crate) fn a_bounce_of_our_own_network_does_not_wait(scene: &Scene<'_>) {
    let scene = asked_about_data(scene);
    let ours = Client {
        address: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7))),
        name: None,
    };
    scene.is_delivered(&Mail {
        client: ours,
        ..bounce(&scene)
    });
}

/// As other servers do before they take mail from it.
pub(crate) fn an_address_may_be_verified(scene: &Scene<'_>) {
    let scene = asked_about_data(scene);
    for sender in ["", "double-bounce@s.example"] {
        let mut session = scene.session(Wiring::Readme, &scene.client(1));
        assert_begins(
            &session.command(format_args!("MAIL FROM:<{sender}>")),
            "250 ",
        );
        assert_eq!(session.command("RCPT TO:<b@rig.test>"), "250 2.1.5 Ok");
        assert_begins(&session.command("QUIT"), "221 ");
    }
}

pub(crate) fn where_nobody_asks_about_data_a_bounce_waits_at_rcpt(scene: &Scene<'_>) {
    // What was asked for another story is forgotten.
    scene.wait(DAY + 1);
    let scene = scene.through(Wiring::AtRecipientOnly);
    let bounce = bounce(&scene);
    scene.is_deferred(&bounce);
    scene.wait(300);
    scene.is_delivered_delayed(&bounce, 300);
}

pub(crate) fn who_leaves_bounces_to_data_without_questions_is_warned(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::LeftToData);
    let bounce = bounce(&scene);
    let mut session = scene.session(Wiring::LeftToData, &bounce.client);
    for _ in 0..20 {
        assert_begins(&session.command("MAIL FROM:<>"), "250 ");
        assert_eq!(session.command("RCPT TO:<b@rig.test>"), "250 2.1.5 Ok");
        assert_begins(&session.command("RSET"), "250 ");
    }
    // Once a day, so the next transport's story finds the same line.
    scene
        .greylet()
        .wait_until_it_says(0, "but Postfix does not ask about DATA: ");
    scene.is_delivered(&bounce);
}

/// The scene after a mail that has come to DATA.
fn asked_about_data<'a>(scene: &'a Scene<'_>) -> Scene<'a> {
    let scene = scene.through(Wiring::Readme);
    let mail = Mail {
        client: scene.ipv6_client(0xda, 1),
        ..scene.mail()
    };
    scene.is_deferred(&mail);
    scene.wait(300);
    scene.is_delivered_delayed(&mail, 300);
    scene
}

fn bounce(scene: &Scene<'_>) -> Mail<'static> {
    Mail {
        sender: "",
        ..scene.mail()
    }
}

#[track_caller]
fn assert_deferred_at_data(outcome: &Outcome) {
    for reply in &outcome.replies {
        assert_eq!(reply, "250 2.1.5 Ok");
    }
    assert_eq!(
        outcome.refusal_at_data.as_deref(),
        Some(
            "450 4.2.0 <DATA>: Data command rejected: \
             Greylisted, see https://www.rfc-editor.org/rfc/rfc6647"
        )
    );
}
