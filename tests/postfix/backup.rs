//! Two gateways that ask one greylet: what one of them has deferred may come back to the other.

use nix::sys::signal::{Signal, kill};

use crate::endpoint::Transport;
use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins};
use crate::smtp::Mail;

pub(crate) fn a_backup_asks_the_same_greylet(scene: &Scene<'_>) {
    let (primary, backup) = (scene.through(Wiring::Readme), scene.through(Wiring::Backup));
    let mail = scene.mail();
    primary.is_deferred(&mail);
    scene.wait(299);
    backup.is_deferred(&mail);
    scene.wait(1);
    backup.is_delivered_delayed(&mail, 300);
    primary.is_delivered(&mail);
    let decisions = primary.decisions_about(&mail.client);
    let [new, early, found, known] = &decisions[..] else {
        panic!("not four decisions: {decisions:#?}");
    };
    assert_begins(new, "action=greylist, reason=new, ");
    assert_begins(early, "action=greylist, reason=early-retry (1s missing), ");
    assert_begins(found, "action=pass, reason=triplet found, delay=300, ");
    assert_begins(known, "action=pass, reason=triplet found, client_name=");
}

/// Stopped, it leaves questions without an answer, as a tunnel does that is down.
pub(crate) fn without_an_answer_a_backup_takes_mail(scene: &Scene<'_>) {
    let backup = scene.through(Wiring::Backup);
    let from = |sender| Mail {
        sender,
        ..scene.mail()
    };
    backup.is_deferred(&from("a@s.example"));
    let signal = |signal| kill(backup.greylet().pid(), signal).expect("it is running");
    // It takes Postfix two timeouts to be sure.
    if scene.transport == Transport::Inet4 {
        signal(Signal::SIGSTOP);
        backup.is_delivered(&from("b@s.example"));
        signal(Signal::SIGCONT);
    }
    backup.greylet().stop();
    backup.is_delivered(&from("c@s.example"));
    backup.greylet().start_again();
    backup.is_deferred(&from("d@s.example"));
}
