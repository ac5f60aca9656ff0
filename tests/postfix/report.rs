//! Stories of real mail, and of what `greylet report` tells of it: from the lines of greylet and of Postgrey, as several loggers write them,
//! from Postfix's log alone, and from both in one log.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::rig::Wiring;
use crate::scene::{Scene, assert_begins};
use crate::smtp::Mail;
use crate::support::run;
use ::greylet::engine::time::HeaderDate;

const DAY: u64 = 86_400;

pub(crate) fn a_report_on_mail_through_greylet(scene: &Scene<'_>) {
    let new_lines = || scene.greylet().log().to_vec();
    let mut timed_lines = Vec::new();
    let mail_log = mail_log(scene, Wiring::Timed, "greylet", new_lines, |lines| {
        let now = scene.rig.clock.unix_seconds();
        timed_lines.extend(lines.iter().map(|line| (now, line.clone())));
    });
    assert_tells_of_them(scene, "action lines", &mail_log);
    assert_tells_of_them(scene, "Postfix", &without(&mail_log, "greylet["));

    scene.wait(DAY);
    timed_lines.push((scene.rig.clock.unix_seconds(), "HUP received".to_owned()));
    for head in [logread_head, syslog_head] {
        let lines = timed_lines.iter();
        let log: String = lines
            .map(|(time, line)| format!("{}greylet[429]: {line}\n", head(*time)))
            .collect();
        assert_tells_of_them(scene, "action lines", &log);
    }
}

pub(crate) fn a_report_on_mail_through_postgrey(scene: &Scene<'_>) {
    let Some(postgrey) = &scene.rig.postgrey else {
        return;
    };
    let new_lines = || postgrey.log().lines().map(str::to_owned).collect();
    let mail_log = mail_log(scene, Wiring::Postgrey, "postgrey", new_lines, |_| {});
    assert_tells_of_them(scene, "action lines", &mail_log);
    assert_tells_of_them(scene, "Postfix", &without(&mail_log, "postgrey["));
}

/// Sends mail, gives what the policy server says of each to Postfix's log and to `each`, and gives that log, which goes on for a day.
fn mail_log(
    scene: &Scene<'_>,
    wiring: Wiring,
    program: &str,
    all_lines: impl Fn() -> Vec<String>,
    mut each: impl FnMut(&[String]),
) -> String {
    let postfix = &scene.rig.postfix;
    let begin = postfix.log_position();
    let mut logged = all_lines().len();
    let mut log_what_is_new = || {
        let lines = all_lines();
        postfix.log_for(program, &(lines[logged..].join("\n") + "\n"));
        each(&lines[logged..]);
        logged = lines.len();
    };
    for queue_id in send_mails(scene, wiring, &mut log_what_is_new) {
        postfix.wait_for_log(begin, &format!("{queue_id}: removed"));
    }
    let end = postfix.log_position();
    let log = &postfix.log()[begin..end];
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let tomorrow = now.expect("it is after 1970").as_secs() + DAY;
    format!(
        "{log}{}postfix/anvil[7]: something else\n",
        syslog_head(tomorrow)
    )
}

/// Two mails that come back, three that never do, and one that need not; gives the queue ids.
fn send_mails(scene: &Scene<'_>, wiring: Wiring, sent: &mut impl FnMut()) -> Vec<String> {
    let mail = scene.mail();
    let bounce_from = |client| Mail {
        client,
        sender: "",
        ..scene.mail()
    };
    let spam = Mail {
        client: scene.client(9),
        sender: "spam@s.example",
        recipients: vec!["b@rig.test", "c@rig.test"],
    };
    let steps = [
        (0, &mail, "450 4.2.0 "),
        (60, &mail, "450 4.2.0 "),
        (0, &bounce_from(scene.ipv6_client(1, 1)), "450 4.2.0 "),
        (0, &spam, "450 4.2.0 "),
        (0, &bounce_from(scene.ipv6_client(2, 1)), "450 4.2.0 "),
        (300, &bounce_from(scene.ipv6_client(1, 2)), "250 2.1.5 "),
        (240, &mail, "250 2.1.5 "),
        (0, &mail, "250 2.1.5 "),
    ];
    let mut queue_ids = Vec::new();
    for (seconds_before, mail, begin) in steps {
        scene.wait(seconds_before);
        let outcome = scene.send(wiring, mail);
        for reply in &outcome.replies {
            assert_begins(reply, begin);
        }
        queue_ids.extend(outcome.queue_id);
        sent();
    }
    queue_ids
}

/// Whether a report on this log says what became of [those mails](send_mails).
#[track_caller]
fn assert_tells_of_them(scene: &Scene<'_>, source: &str, log: &str) {
    let output = run(&["report", "--json"], log.as_bytes());
    assert!(output.status.success(), "{output:?}\n{log}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["source"], source, "{log}");
    let totals = ["deferred", "deferrals", "passed", "waiting", "never_back"];
    let totals = totals.map(|name| report[name].as_u64());
    assert_eq!(totals, [5, 6, 2, 0, 3].map(Some), "{source}\n{log}");
    if source == "action lines" {
        assert_eq!(report["delay_mean"], (600 + 300) / 2, "{log}");
        assert_eq!(report["passed_at_once"]["triplet found"], 1, "{log}");
    }
    let [v4, v6] = &report["networks"].as_array().expect("an array")[..] else {
        panic!("not two networks: {report}\n{log}");
    };
    let lost = |network: &Value| -> Vec<String> {
        let mails = network["mails"].as_array().expect("an array").iter();
        let shown = mails.map(|mail| {
            format!(
                "{} {} {} {}",
                mail["client_address"], mail["sender"], mail["recipient"], mail["tries"]
            )
        });
        shown.collect()
    };
    let spammer = scene.client(9).client_address();
    assert_eq!(
        lost(v4),
        ["b", "c"].map(|to| format!(r#""{spammer}" "spam@s.example" "{to}@rig.test" 1"#))
    );
    let bouncer = scene.ipv6_client(2, 1).client_address();
    assert_eq!(lost(v6), [format!(r#""{bouncer}" "" "b@rig.test" 1"#)]);
}

fn without(log: &str, text: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains(text));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What OpenWrt's logread puts before a line.
fn logread_head(unix_seconds: u64) -> String {
    let (weekday, date, year, time) = date(unix_seconds);
    format!("{weekday} {date} {time} {year} daemon.info ")
}

/// What syslog and journalctl do.
fn syslog_head(unix_seconds: u64) -> String {
    let (_, date, _, time) = date(unix_seconds);
    format!("{date} {time} mx ")
}

/// `Mon`, `Nov 23`, `2026`, `20:08:13`.
fn date(unix_seconds: u64) -> (String, String, String, String) {
    let date = HeaderDate { unix_seconds }.to_string();
    let words: Vec<&str> = date.split([' ', ',']).collect();
    let [weekday, _, day, month, year, time, _] = words[..] else {
        panic!("another form of date: {date}");
    };
    let date = format!(
        "{month} {}",
        day.replacen('0', " ", usize::from(day < "10"))
    );
    (weekday.into(), date, year.into(), time.into())
}
