//! What `--help` prints: every option of a command with its argument, in groups, and no line longer than a terminal is wide.

use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

/// Longest line.
const WIDTH: usize = 80;

/// Where descriptions begin.
const INDENT: usize = 20;

/// Which options open a group, and what it is called; the options of a command stand in the order of its declaration.
const GROUPS: [(&str, &str, &str); 16] = [
    ("serve", "--inet", "Listening"),
    ("serve", "--delay", "Greylisting"),
    (
        "serve",
        "--lookup-by-name",
        "Who is one client, and who waits",
    ),
    ("serve", "--greylist-action", "What is answered"),
    ("serve", "--max-entries", "What is remembered"),
    ("serve", "--whitelist-clients", "Lists"),
    ("serve", "--user", "Process"),
    ("serve", "--dry-run", "Log"),
    ("serve", "--noaction", "Other options"),
    ("query", "--server", "Whom to ask, and how"),
    ("query", "--client-address", "The mail"),
    ("query", "--request", "The question"),
    ("query", "--client-port", "The connection"),
    ("query", "--recipient-count", "The message"),
    ("query", "--sasl-method", "Login and certificates"),
    ("query", "--encryption-protocol", "TLS, and Postfix itself"),
];

/// The help of a command of greylet's, or of greylet itself.
pub fn help(command: &CommandInfoWithArgs) -> String {
    let mut help = String::new();
    write_usage(&mut help, command);
    help.push('\n');
    write_wrapped(&mut help, 0, command.description);
    if !command.positionals.is_empty() {
        help.push_str("\nArguments:\n");
    }
    for positional in command.positionals {
        write_item(&mut help, positional.name, positional.description);
    }
    let (last, flags): (Vec<_>, Vec<_>) = command.flags.iter().partition(|flag| flag.long == HELP);
    let mut group = None;
    for flag in flags {
        let opened = GROUPS
            .iter()
            .find(|(name, first, _)| (*name, *first) == (command.name, flag.long));
        let opened = opened.map(|(_, _, group)| *group);
        if opened.is_some() || group.is_none() {
            group = opened.or(Some(OPTIONS));
            let _ = write!(help, "\n{}:\n", group.unwrap_or_default());
        }
        write_item(&mut help, &spelling(flag), flag.description);
    }
    if group != Some(OPTIONS) {
        help.push('\n');
    }
    for flag in last {
        write_item(&mut help, &spelling(flag), flag.description);
    }
    if !command.commands.is_empty() {
        help.push_str("\nCommands (greylet COMMAND --help says more):\n");
    }
    for subcommand in &command.commands {
        let description = subcommand.command.description;
        // A clause is enough here.
        let first = description.split([',', ';', '.']).next();
        write_item(&mut help, subcommand.name, first.unwrap_or_default());
    }
    help
}

fn write_usage(help: &mut String, command: &CommandInfoWithArgs) {
    let mut usage = String::from("Usage: greylet");
    if command.commands.is_empty() {
        let _ = write!(usage, " {}", command.name);
    }
    for flag in command.flags {
        if flag.long != HELP && matches!(flag.optionality, Optionality::Required) {
            let _ = write!(usage, " {}", spelling(flag));
        }
    }
    usage.push_str(" [OPTION]...");
    for positional in command.positionals {
        let is_repeatable = matches!(positional.optionality, Optionality::Repeating);
        let dots = if is_repeatable { "..." } else { "" };
        let _ = write!(usage, " [{}]{dots}", positional.name);
    }
    if !command.commands.is_empty() {
        usage.push_str(" COMMAND [OPTION]...");
    }
    write_wrapped(help, 0, &usage);
}

/// What options are called that are in no group.
const OPTIONS: &str = "Options";

/// What argh adds to every command.
const HELP: &str = "--help";

/// `-i, --inet [HOST:]PORT`
fn spelling(flag: &FlagInfo<'_>) -> String {
    let short = if flag.long == HELP {
        Some('h')
    } else {
        flag.short
    };
    let short = short
        .map(|letter| format!("-{letter}, "))
        .unwrap_or_default();
    match flag.kind {
        FlagInfoKind::Switch => format!("{short}{}", flag.long),
        FlagInfoKind::Option { arg_name } => format!("{short}{} {arg_name}", flag.long),
    }
}

/// Writes what an item is called, and behind it, or below if there is no room, what it is.
fn write_item(help: &mut String, name: &str, description: &str) {
    let _ = write!(help, "  {name}");
    if name.len() + 2 < INDENT {
        let _ = write!(help, "{:1$}", "", INDENT - name.len() - 2);
    } else {
        let _ = write!(help, "\n{:1$}", "", INDENT);
    }
    write_wrapped(help, INDENT, description);
}

/// Writes words, the first one where the line is, and ends the last line.
fn write_wrapped(help: &mut String, indent: usize, text: &str) {
    let mut column = indent;
    for word in text.split(' ') {
        if column > indent && column + 1 + word.len() > WIDTH {
            let _ = write!(help, "\n{:1$}", "", indent);
            column = indent;
        } else if column > indent {
            help.push(' ');
            column += 1;
        }
        help.push_str(word);
        column += word.len();
    }
    help.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Greylet;
    use argh::ArgsInfo;

    /// A screen has 24 lines, of which one is the prompt.
    #[test]
    fn it_fits_a_terminal() {
        let greylet = Greylet::get_args_info();
        let commands = greylet.commands.iter().map(|it| &it.command);
        for command in commands.chain([&greylet]) {
            let help = help(command);
            for line in help.lines() {
                assert!(line.len() <= WIDTH && line == line.trim_end(), "{line}");
            }
            for group in help.split("\n\n") {
                assert!(group.lines().count() < 24, "{group}");
            }
        }
        assert!(help(&greylet).lines().count() < 24);
    }

    #[test]
    fn all_options_are_there_and_all_groups() {
        for command in Greylet::get_args_info().commands {
            let help = help(&command.command);
            for flag in command.command.flags {
                let spelling = format!("  {}", spelling(flag));
                let lines = help.lines().filter(|line| line.starts_with(&spelling));
                assert_eq!(lines.count(), 1, "{spelling}");
            }
            let groups = GROUPS.iter().filter(|(name, ..)| *name == command.name);
            for (_, _, group) in groups {
                assert!(help.contains(&format!("\n\n{group}:\n")), "{group}");
            }
        }
    }
}
