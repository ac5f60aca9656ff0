//! The manual page, `src/greylet.8`, against `--help`: the same commands, options, arguments and defaults.

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind};
use greylet::cli::Greylet;

const PAGE: &str = include_str!("../src/greylet.8");

/// What argh gives to every command; the page has it once.
const HELP: &str = "--help";

/// An `.It` of a list of options, and the text that follows it up to the next one, without macros.
type Item = (String, String);

/// The subsections of COMMANDS: name and items.
fn commands_of_page() -> Vec<(&'static str, Vec<Item>)> {
    let (_, commands) = PAGE.split_once("\n.Sh COMMANDS\n").expect("the commands");
    let (commands, _) = commands.split_once("\n.Sh ").expect("more after it");
    let sections = commands.split(".Ss ").skip(1);
    let sections = sections.map(|section| {
        let (name, body) = section.split_once('\n').expect("a body");
        let items = body.split(".It ").skip(1).map(|item| {
            let (head, text) = item.split_once('\n').expect("a text");
            let text = text.split("\n.El").next().expect("a first part");
            (without_macros(head), without_macros(text))
        });
        (name, items.collect())
    });
    sections.collect()
}

/// Words as they are printed; of macros those that the page has in its options.
fn without_macros(text: &str) -> String {
    let mut printed = String::new();
    for line in text.lines() {
        let is_macro = line.starts_with('.');
        let mut words = line.trim_start_matches('.').split(' ');
        let mut hyphen = "";
        let mut is_joined = false;
        for word in words.by_ref() {
            match word {
                "Fl" if is_macro || text.starts_with("Fl") => hyphen = "-",
                "Ar" | "Pa" | "Cm" | "Nm" | "Dq" | "Xr" | "Ev" => hyphen = "",
                "Ns" => is_joined = true,
                "," | ")" | "." | ";" => {
                    printed.push_str(word);
                    hyphen = "";
                }
                _ => {
                    if !printed.is_empty() && !is_joined {
                        printed.push(' ');
                    }
                    printed.push_str(hyphen);
                    printed.push_str(word);
                    is_joined = false;
                    hyphen = "";
                }
            }
        }
    }
    printed
}

/// `-i, --inet [HOST:]PORT` and the description, for every option and argument of a command.
fn items_of_help(command: &CommandInfoWithArgs) -> Vec<Item> {
    let flags = command.flags.iter().filter(|flag| flag.long != HELP);
    let flags = flags.map(|flag| {
        let short = flag.short.map(|it| format!("-{it}, ")).unwrap_or_default();
        let argument = match flag.kind {
            FlagInfoKind::Switch => String::new(),
            FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
        };
        let head = format!("{short}{}{argument}", flag.long);
        (head, flag.description.to_owned())
    });
    let positionals = command.positionals.iter();
    let positionals = positionals.map(|it| (it.name.to_owned(), it.description.to_owned()));
    flags.chain(positionals).collect()
}

/// What stands in brackets and begins with `default`.
fn default_of(description: &str) -> Option<&str> {
    let (_, rest) = description.split_once("(default")?;
    Some(rest.split(')').next().unwrap_or_default())
}

#[test]
fn macros_are_taken_out() {
    for (text, printed) in [
        ("Fl i , Fl -inet Ar [HOST:]PORT", "-i, --inet [HOST:]PORT"),
        ("Ar FILE", "FILE"),
        (
            "a (default\n.Pa /b ,\nc\n.Fl -d ) .",
            "a (default /b, c --d).",
        ),
        (".Fl -log Ns =none ;", "--log=none;"),
    ] {
        assert_eq!(without_macros(text), printed);
    }
}

#[test]
fn the_page_has_what_help_has() {
    let page = commands_of_page();
    let help = Greylet::get_args_info();
    let mut names: Vec<&str> = page.iter().map(|(name, _)| *name).collect();
    let mut wanted: Vec<&str> = help.commands.iter().map(|it| it.name).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "the .Ss of .Sh COMMANDS");
    let mut wrong = Vec::new();
    for (name, items) in &page {
        let command = help.commands.iter().find(|it| it.name == *name);
        let wanted = items_of_help(&command.expect("both have it").command);
        for (head, description) in &wanted {
            let found: Vec<&Item> = items.iter().filter(|(found, _)| found == head).collect();
            let [(_, text)] = found[..] else {
                wrong.push(format!(
                    "{name}: `.It {head}` is there {} times",
                    found.len()
                ));
                continue;
            };
            let default = default_of(description);
            if default != default_of(text) {
                wrong.push(format!(
                    "{name} {head}: the default of --help is {default:?}, but: {text}"
                ));
            }
        }
        for (head, _) in items {
            if !wanted.iter().any(|(wanted, _)| wanted == head) {
                wrong.push(format!("{name}: `.It {head}` is nothing that --help has"));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0], "{wrong:#?}");
}
