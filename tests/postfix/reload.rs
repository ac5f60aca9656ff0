//! Stories of lists that change while Postfix is connected: what SIGHUP changes at once, and what it leaves alone.

use std::fs;

use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins, assert_deferred, assert_delayed, deferral};
use crate::smtp::{Client, Mail, Outcome, Session};

pub(crate) fn a_client_listed_at_hup_passes_in_its_open_session(scene: &Scene<'_>) {
    read_lists(scene, "", "");
    let log_begin = scene.rig.postfix.log_position();
    let listed = scene.mail();
    let direct = Mail {
        sender: "direct@s.example",
        ..scene.mail()
    };
    let other = Mail {
        client: scene.ipv6_client(1, 1),
        ..scene.mail()
    };
    let mut listed_session = scene.session(Wiring::Timed, &listed.client);
    let mut direct_session = scene.session(Wiring::Direct, &direct.client);
    let mut other_session = scene.session(Wiring::Timed, &other.client);
    assert_deferred(&listed_session.send(&listed), &listed);
    assert_deferred(&direct_session.send(&direct), &direct);
    assert_deferred(&other_session.send(&other), &other);

    let address = listed.client.client_address();
    read_lists(scene, &format!("# ours\n{address}\n"), "");
    assert_not_delayed(scene, &listed_session.send(&listed), &listed);
    assert_not_delayed(scene, &direct_session.send(&direct), &direct);
    // What was pending still is.
    assert_deferred(&other_session.send(&other), &other);
    scene.wait(300);
    let outcome = other_session.send(&other);
    for copy in scene.delivered(&outcome, &other) {
        assert_delayed(&copy, 300);
    }

    let decisions = scene.decisions_about(&listed.client);
    let [new, direct_new, passed, direct_passed] = &decisions[..] else {
        panic!("not four decisions: {decisions:#?}");
    };
    for decision in [new, direct_new] {
        assert_begins(decision, "action=greylist, reason=new, ");
    }
    for decision in [passed, direct_passed] {
        assert_begins(decision, "action=pass, reason=client whitelist, ");
    }
    for client in [&listed.client, &other.client] {
        assert_one_connection(scene, client);
    }
    assert_no_warning(scene, log_begin, &outcome);
}

pub(crate) fn a_recipient_listed_at_hup_passes_in_an_open_transaction(scene: &Scene<'_>) {
    read_lists(scene, "", "");
    let log_begin = scene.rig.postfix.log_position();
    let mail = Mail {
        recipients: vec!["b@rig.test", "listed@rig.test"],
        ..scene.mail()
    };
    let mut session = scene.session(Wiring::Timed, &mail.client);
    assert_deferred(&session.send(&mail), &mail);

    let mut asked = |command: &str| session.command(command);
    assert_begins(&asked("MAIL FROM:<a@s.example>"), "250 ");
    assert_eq!(asked("RCPT TO:<b@rig.test>"), deferral("b@rig.test"));
    read_lists(scene, "", "listed@\n");
    assert_eq!(asked("RCPT TO:<b@rig.test>"), deferral("b@rig.test"));
    assert_eq!(asked("RCPT TO:<listed@rig.test>"), "250 2.1.5 Ok");
    assert_begins(&asked("RSET"), "250 ");
    scene.wait(300);
    let to_b = Mail {
        recipients: vec!["b@rig.test"],
        ..mail.clone()
    };
    let outcome = session.send(&to_b);
    for copy in scene.delivered(&outcome, &to_b) {
        assert_delayed(&copy, 300);
    }

    let decisions = scene.decisions_about(&mail.client);
    let passed = decisions.iter().filter(|it| it.contains("action=pass"));
    let [listed, found] = &passed.collect::<Vec<_>>()[..] else {
        panic!("not two passes: {decisions:#?}");
    };
    assert_begins(listed, "action=pass, reason=recipient whitelist, ");
    assert_begins(found, "action=pass, reason=triplet found, delay=300, ");
    assert_one_connection(scene, &mail.client);
    assert_no_warning(scene, log_begin, &outcome);
}

pub(crate) fn a_list_that_is_gone_at_hup_stays_in_force(scene: &Scene<'_>) {
    let clients = scene.rig.lists.clients.as_path();
    let client = scene.client(1);
    read_lists(scene, &client.client_address(), "");
    let mut session = scene.session(Wiring::Timed, &client);
    let from = |sender| Mail {
        client: client.clone(),
        sender,
        ..scene.mail()
    };
    let passes = |session: &mut Session, sender| {
        assert_not_delayed(scene, &session.send(&from(sender)), &from(sender));
    };
    let keeps_list = |why: &str| {
        let said = format!(
            "cannot read the list {}: {why}; the last good list stays in force (clients)",
            clients.display()
        );
        let mut greylet = scene.greylet();
        greylet.reload([&said, "list of recipients: "]);
    };
    passes(&mut session, "a@s.example");

    fs::remove_file(clients).expect("the list");
    keeps_list("No such file or directory (os error 2)");
    passes(&mut session, "b@s.example");

    fs::create_dir(clients).expect("a folder in its place");
    keeps_list("it is not a regular file");
    passes(&mut session, "c@s.example");
    for decision in scene.decisions_about(&client) {
        assert_begins(&decision, "action=pass, reason=client whitelist, ");
    }

    fs::remove_dir(clients).expect("the folder");
    read_lists(scene, "", "");
    let mail = from("d@s.example");
    assert_deferred(&session.send(&mail), &mail);
    assert_one_connection(scene, &client);
}

/// Writes both lists, and lets greylet read them.
fn read_lists(scene: &Scene<'_>, clients: &str, recipients: &str) {
    let lists = &scene.rig.lists;
    let said = [
        ("clients", &lists.clients, clients),
        ("recipients", &lists.recipients, recipients),
    ]
    .map(|(whose, path, text)| {
        fs::write(path, text).expect("a list");
        let rules = text.lines().filter(|line| !line.starts_with('#')).count();
        format!("list of {whose}: {rules} rules from {}", path.display())
    });
    let mut greylet = scene.greylet();
    greylet.reload([&said[0], &said[1]]);
}

#[track_caller]
fn assert_not_delayed(scene: &Scene<'_>, outcome: &Outcome, mail: &Mail<'_>) {
    for copy in scene.delivered(outcome, mail) {
        assert_eq!(copy.all("X-Greylist"), [""; 0], "{mail:?}");
    }
}

/// Of the connections between Postfix and greylet: the relay ends its one as soon as greylet ends the other.
#[track_caller]
fn assert_one_connection(scene: &Scene<'_>, client: &Client) {
    let requests = scene.requests_about(client);
    let first = requests.first().expect("Postfix has asked").connection;
    assert!(
        requests.iter().all(|request| request.connection == first),
        "{requests:#?}"
    );
}

/// Not until the message with this outcome was done with.
#[track_caller]
fn assert_no_warning(scene: &Scene<'_>, log_begin: usize, outcome: &Outcome) {
    let queue_id = outcome.queue_id.as_deref().expect("it was queued");
    let postfix = &scene.rig.postfix;
    let log = postfix.wait_for_log(log_begin, &format!("{queue_id}: removed"));
    assert!(!log.contains("warning:"), "{log}");
}
