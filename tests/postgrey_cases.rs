//! What Postgrey 1.37 answered, asked of the real binary.

mod support;

use serde_json::Value;
use support::{Scratch, Server, request};

const START: i64 = 1_700_000_000;

/// Our reply, with what must differ from Postgrey's replaced as it is in the recorded ones.
fn normalised(action: &str) -> String {
    if let Some(defer) = action.split_once("Greylisted, see ") {
        return format!("{}Greylisted, see <url>", defer.0);
    }
    if let Some((delay, server)) = action.split_once(" seconds by ") {
        let version = format!("greylet-{} at ", env!("CARGO_PKG_VERSION"));
        let date = server.split_once("; ").map(|(_, date)| date);
        let is_date = date.is_some_and(|date| date.ends_with(" UTC") && date.len() == 29);
        assert!(server.starts_with(&version) && is_date, "{action}");
        return format!("{delay} seconds by <server>; <date>");
    }
    action.to_owned()
}

#[test]
fn recorded_decisions() {
    let cases: Value =
        serde_json::from_str(include_str!("cases/postgrey-decisions.json")).expect("JSON");
    let scratch = Scratch::new("decisions");
    let mut compared = 0;
    for case in cases.as_array().expect("a list") {
        let name = case["name"].as_str().expect("a name");
        let number = name.split(' ').next().expect("a first word");
        let options = case["opts"].as_array().expect("a list of options");
        let options = options
            .iter()
            .map(|option| option.as_str().expect("a word"));
        let lists = ["clients", "recipients"].map(|list| {
            let path = scratch.path(list);
            std::fs::write(&path, case[list].as_str().expect("a text")).expect("a list file");
            format!("--whitelist-{list}={path}")
        });
        let options: Vec<&str> = options
            .chain(["--lookup-by-subnet", "--trust-test-time"])
            .chain(lists.iter().map(String::as_str))
            .collect();
        let server = Server::start(&options);
        let mut client = server.connect();
        for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let time = (START + step[0].as_i64().expect("a time")).to_string();
            let mut changes = vec![("policy_test_time", Some(time.as_str()))];
            let attributes = step[1].as_object().expect("attributes");
            changes.extend(
                attributes
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            );
            let action = client.ask(request(&changes));
            let recorded = step[2].as_str().expect("a reply");
            if number == "D35" {
                // It names the version.
                let words = |text: &str| text.split(' ').take(3).collect::<Vec<_>>().join(" ");
                assert_eq!(
                    words(&normalised(&action)),
                    words(recorded),
                    "{name}, step {index}"
                );
            } else {
                assert_eq!(normalised(&action), recorded, "{name}, step {index}");
            }
            compared += 1;
        }
    }
    println!("{compared} recorded decisions compared");
    assert!(compared > 70, "{compared}");
}

/// Where we are right and Postgrey is not: it does not know that an IPv4-mapped address is the IPv4 address.
const WE_MATCH: [u64; 2] = [79, 80];

/// One line in one list, one request.
#[test]
fn recorded_whitelists() {
    let cases: Value =
        serde_json::from_str(include_str!("cases/postgrey-whitelist.json")).expect("JSON");
    let scratch = Scratch::new("whitelists");
    let (lines, nothing) = (scratch.path("lines"), scratch.path("nothing"));
    std::fs::write(&nothing, "").expect("a file");
    let cases = cases.as_array().expect("a list");
    for case in cases {
        let text = |name: &str| case[name].as_str();
        std::fs::write(&lines, text("pattern").expect("a line")).expect("a list file");
        let (clients, recipients) = match text("list") {
            Some("clients") => (&lines, &nothing),
            _ => (&nothing, &lines),
        };
        let server = Server::start(&[
            "--lookup-by-subnet",
            &format!("--whitelist-clients={clients}"),
            &format!("--whitelist-recipients={recipients}"),
        ]);
        let changes: Vec<(&str, Option<&str>)> = ["client_name", "client_address", "recipient"]
            .into_iter()
            .filter(|name| text(name).is_some())
            .map(|name| (name, text(name)))
            .collect();
        let is_passed = server.connect().ask(request(&changes)) == "DUNNO";
        let number = case["n"].as_u64().expect("a number");
        let matches = case["matches"].as_bool().expect("yes or no") || WE_MATCH.contains(&number);
        assert_eq!(is_passed, matches, "{case}");
    }
    println!("{} recorded list lines compared", cases.len());
    assert!(cases.len() > 60);
}
