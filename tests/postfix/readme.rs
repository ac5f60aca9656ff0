//! What README tells Postfix, word for word but for where greylet is.

use crate::endpoint::Endpoint;

const README: &str = include_str!("../../README.md");

/// The lines of main.cf, each a parameter.
pub(crate) fn main_cf(greylet: &Endpoint) -> Vec<String> {
    parameters(&block_after("In `/etc/postfix/main.cf`", greylet))
}

/// The lines of main.cf on a backup.
pub(crate) fn backup(greylet: &Endpoint) -> Vec<String> {
    parameters(&block_after("in main.cf of the backup", greylet))
}

fn parameters(block: &str) -> Vec<String> {
    let lines = block.replace("\n    ", " ");
    lines.lines().map(str::to_owned).collect()
}

/// The lines of master.cf under `submission`.
pub(crate) fn submission(greylet: &Endpoint) -> String {
    block_after(
        "in `/etc/postfix/master.cf`, under `submission`:\n",
        greylet,
    )
}

fn block_after(text: &str, greylet: &Endpoint) -> String {
    let (_, rest) = README.split_once(text).expect("README says so");
    let rest = rest.lines().skip_while(|line| !line.starts_with("    "));
    let lines = rest.map_while(|line| line.strip_prefix("    "));
    let block: String = lines.map(|line| format!("{line}\n")).collect();
    ["inet:127.0.0.1:10023", "inet:10.9.0.1:10023"]
        .iter()
        .fold(block, |block, address| {
            block.replace(address, &greylet.to_string())
        })
}
