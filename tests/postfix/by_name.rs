//! Stories of clients that are known by the organisations of their names, where README's lines are in main.cf.

use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins};
use crate::smtp::{Client, Mail};
use crate::support::run;

const MINUTE: u64 = 60;

pub(crate) fn a_provider_may_retry_from_another_network(scene: &Scene<'_>) {
    let by_name = scene.through(Wiring::Readme);
    let first = mail_of(scene, scene.named("mail-1", scene.client(1)));
    let retry = mail_of(scene, scene.named("mail-2", scene.ipv6_client(2, 1)));
    by_name.is_deferred(&first);
    scene.is_deferred(&first);
    scene.wait(400);
    by_name.is_delivered_delayed(&retry, 400);
    // Known by its network it is somebody else.
    scene.is_deferred(&retry);
    scene.is_delivered_delayed(&first, 400);

    let domain = scene.domain();
    let client_address = retry.client.client_address();
    assert_eq!(
        by_name.decisions_about(&retry.client),
        [format!(
            "action=pass, reason=triplet found, delay=400, identity={domain}, client_name=mail-2.{domain}, \
             client_address={client_address}, sender=a@s.example, recipient=b@rig.test"
        )]
    );
    scene.wait(99 * MINUTE);
    let next = mail_of(scene, scene.named("mail-3", scene.ipv6_client(3, 1)));
    assert_eq!(
        explained(&by_name, &next),
        format!(
            "would be       passed: triplet found\n\
             client list    no line\n\
             recipient list no line\n\
             client         {domain}: its name is a mail server's\n\
             sender         a@s.example\n\
             by name        known, passed 99 minutes ago, last seen 99 minutes ago\n\
             by network     not known\n\
             address AWL    0 of 5 first passes\n\
             domain AWL     1 of 2 first passes, the last 99 minutes ago\n\
             wrote to       not known\n"
        )
    );
    by_name.is_delivered(&next);
}

pub(crate) fn a_line_is_its_network(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::Readme);
    let line = |client| mail_of(&scene, scene.named("static-line", client));
    scene.is_deferred(&line(scene.client(1)));
    scene.wait(300);
    scene.is_deferred(&line(scene.ipv6_client(1, 1)));
    scene.is_delivered_delayed(&line(scene.client(2)), 300);
}

pub(crate) fn only_suspicious_clients_wait(scene: &Scene<'_>) {
    let scene = scene.through(Wiring::Suspicious);
    let mail_server = scene.named("mail-1", scene.client(1));
    scene.is_delivered(&mail_of(&scene, mail_server.clone()));
    let line = scene.named("static-line", scene.ipv6_client(1, 1));
    let nameless = scene.ipv6_client(2, 1);
    for client in [line, nameless] {
        let mail = mail_of(&scene, client);
        scene.is_deferred(&mail);
        scene.wait(300);
        scene.is_delivered_delayed(&mail, 300);
    }
    let decisions = scene.decisions_about(&mail_server);
    let [decision] = &decisions[..] else {
        panic!("not one decision: {decisions:#?}");
    };
    assert_begins(decision, "action=pass, reason=mail server, ");
}

fn mail_of(scene: &Scene<'_>, client: Client) -> Mail<'static> {
    Mail {
        client,
        ..scene.mail()
    }
}

/// What `greylet explain` says of a mail at the time of the tests, which the relay tells greylet.
fn explained(scene: &Scene<'_>, mail: &Mail<'_>) -> String {
    let options = [
        ("server", scene.relay().endpoint.server()),
        ("client-name", mail.client.name.clone().expect("a name")),
        ("client-address", mail.client.client_address()),
        ("sender", mail.sender.to_owned()),
        ("recipient", mail.recipients.concat()),
    ]
    .map(|(name, value)| format!("--{name}={value}"));
    let mut words = vec!["explain"];
    words.extend(options.iter().map(String::as_str));
    let output = run(&words, b"");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}
