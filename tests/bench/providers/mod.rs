//! What knowing clients by name gains, and what it costs: how long mail of big providers waits, and how much spam is let in, under
//! three sets of rules. Simulated time on the engine alone, no server, no network; the same seed always gives the same figures.
//!
//! | module | what it is |
//! |---|---|
//! | [`shape`] | what a sender of mail does |
//! | [`senders`], [`bots`] | ten big providers and a small one, and senders of spam, a literal each, with where it comes from |
//! | [`traffic`] | the mail that they send |
//! | [`gateway`] | what becomes of it |
//! | [`figures`] | shares and percentiles |

mod bots;
mod figures;
mod gateway;
mod senders;
mod shape;
mod traffic;

use greylet::engine::identity::{Lookup, Prefixes};
use greylet::engine::null_sender::NullSender;
use greylet::engine::{Greylist, Policy};

use bots::BOTS;
use figures::Figures;
use gateway::Outcome;
use senders::PROVIDERS;
use shape::Shape;
use traffic::FORTNIGHTS;

/// Gateways of which the figures are taken together, each with mail of its own.
pub(crate) const GATEWAYS: u64 = 20;

/// What is compared.
const RULES: [&str; 3] = ["Postgrey", "by name", "suspicious"];

/// In the order of their names.
fn policies() -> [Policy; RULES.len()] {
    let by_name = Policy::default();
    [
        Policy {
            lookup: Lookup::Subnet(Prefixes::default()),
            null_sender: NullSender::Rcpt,
            ..by_name
        },
        by_name,
        Policy {
            greylist: Greylist::Suspicious,
            ..by_name
        },
    ]
}

/// A mail that has come to its end.
struct Ended {
    shape: &'static str,
    fortnight: usize,
    outcomes: [Outcome; RULES.len()],
}

/// Simulates so many gateways, and gives the tables.
pub(crate) fn measure(gateways: u64) -> String {
    let mut entries = [0; RULES.len()];
    let ended: Vec<Ended> = (0..gateways)
        .flat_map(|gateway| simulate(gateway, &mut entries))
        .collect();
    let mut tables = String::new();
    let fortnights: [_; FORTNIGHTS] = ["first fortnight, nothing known", "second fortnight"];
    for (fortnight, when) in fortnights.into_iter().enumerate() {
        tables += &format!("Mail, {when}\n\n{}\n", providers(&ended, fortnight));
    }
    let mean_entries: Vec<String> = std::iter::zip(RULES, entries)
        .map(|(rule, entries)| format!("{rule} {}", entries / gateways))
        .collect();
    tables
        + &format!(
            "Spam, both fortnights\n\n{}\nEntries of a gateway in the end, on average: {}\n",
            spam(&ended),
            mean_entries.join(", ")
        )
}

fn simulate(gateway: u64, entries: &mut [u64; RULES.len()]) -> Vec<Ended> {
    let shapes: Vec<&Shape> = PROVIDERS.iter().chain(&BOTS).collect();
    let mails = traffic::mails(&shapes, gateway);
    let received = policies().map(|policy| gateway::receive(policy, &mails));
    for (rule, (_, left)) in received.iter().enumerate() {
        entries[rule] += u64::from(*left);
    }
    mails
        .iter()
        .enumerate()
        .map(|(index, mail)| Ended {
            shape: mail.shape.name,
            fortnight: mail.fortnight,
            outcomes: std::array::from_fn(|rule| received[rule].0[index]),
        })
        .collect()
}

fn providers(ended: &[Ended], fortnight: usize) -> String {
    let is_provider = |name| PROVIDERS.iter().any(|shape| shape.name == name);
    let all = ended
        .iter()
        .filter(|mail| mail.fortnight == fortnight && is_provider(mail.shape));
    let cells = |figures: &Figures| {
        [
            figures.deferred().to_string(),
            format!("{} / {}", figures.wait(50), figures.wait(95)),
        ]
    };
    let mut table = head("mail of", &["deferred, %", "median / 95 %, min"]);
    for Shape { name, .. } in &PROVIDERS {
        let of_shape = all.clone().filter(|mail| mail.shape == *name);
        table += &row(name, of_shape, cells);
    }
    table += &row("all", all.clone(), cells);
    let lost = |rule: usize| format!("{} {}", RULES[rule], figures(all.clone(), rule).lost());
    let lost: Vec<String> = (0..RULES.len()).map(lost).collect();
    table
        + &format!(
            "\nGiven up before it was accepted, %: {}\n",
            lost.join(", ")
        )
}

fn spam(ended: &[Ended]) -> String {
    let cells = |figures: &Figures| {
        [
            figures.accepted().to_string(),
            figures.accepted_at_once().to_string(),
        ]
    };
    let mut table = head("spam of", &["let in, %", "at once, %"]);
    for Shape { name, .. } in &BOTS {
        let of_shape = ended.iter().filter(|mail| mail.shape == *name);
        table += &row(name, of_shape, cells);
    }
    table
}

fn head(first: &str, columns: &[&str]) -> String {
    let mut head = format!("| {first} |");
    for rule in RULES {
        for column in columns {
            head += &format!(" {rule}: {column} |");
        }
    }
    head + "\n|---|" + &"--:|".repeat(RULES.len() * columns.len()) + "\n"
}

fn row<'e, const CELLS: usize>(
    name: &str,
    mails: impl Iterator<Item = &'e Ended> + Clone,
    cells: impl Fn(&Figures) -> [String; CELLS],
) -> String {
    let mut row = format!("| {name} |");
    for rule in 0..RULES.len() {
        for cell in cells(&figures(mails.clone(), rule)) {
            row += &format!(" {cell} |");
        }
    }
    row + "\n"
}

fn figures<'e>(mails: impl Iterator<Item = &'e Ended>, rule: usize) -> Figures {
    mails.map(|mail| mail.outcomes[rule]).collect()
}
