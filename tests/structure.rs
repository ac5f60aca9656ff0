//! The house rules that a compiler does not check: the engine is pure, and uses nothing of ours outside itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Lines that contain one of the words, as `file: line`.
fn lines_with(folder: &str, words: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder);
    let mut found = Vec::new();
    for path in sources(&folder) {
        let text = fs::read_to_string(&path).expect("UTF-8");
        // Unit tests stand at the end, and may do what they want.
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        for line in code
            .lines()
            .filter(|line| words.iter().any(|word| line.contains(word)))
        {
            found.push(format!("{}: {line}", path.display()));
        }
    }
    found
}

#[test]
fn the_engine_is_pure() {
    let impure = [
        "std::fs",
        "std::io",
        "std::env",
        "std::os",
        "std::process",
        "std::sync",
        "std::thread",
        "std::time",
        "SystemTime",
        "Instant",
        "Tcp",
        "Udp",
        "nix::",
        "smol::",
        "log::",
        "println!",
        "async ",
        "await",
    ];
    assert_eq!(lines_with("engine", &impure), [] as [String; 0]);
    let allocating = [
        "Box::new",
        "vec!",
        "format!",
        "to_owned()",
        "to_vec()",
        "to_string()",
        "Box::",
        "with_capacity",
        "String::",
    ];
    // Lists are read when they change, not at a request; and what these two take, they take when the engine is made.
    let may_allocate = [
        "engine/access/",
        "engine/history.rs",
        "engine/transactions.rs",
    ];
    let mut allocations = lines_with("engine", &allocating);
    allocations.retain(|line| !may_allocate.iter().any(|file| line.contains(file)));
    assert_eq!(allocations, [] as [String; 0]);
}

#[test]
fn arrows_point_one_way() {
    assert_eq!(
        lines_with(
            "engine",
            &[
                "crate::cli",
                "crate::commands",
                "crate::daemon",
                "crate::error"
            ]
        ),
        [] as [String; 0]
    );
    assert_eq!(
        lines_with("daemon", &["crate::cli", "crate::commands"]),
        [] as [String; 0]
    );
}

/// One of the words would be found if it were there.
#[test]
fn the_search_finds() {
    assert!(lines_with("daemon", &["smol::"]).len() > 3);
}

/// The table's and the log's memory is zero at first, so that it is neither in the program file nor, before it is used, in RAM.
#[test]
fn static_memory_is_not_in_the_program() {
    let output = Command::new("size")
        .args(["-A", env!("CARGO_BIN_EXE_greylet")])
        .output()
        .expect("size (binutils, which the linker comes with)");
    let sizes = String::from_utf8(output.stdout).expect("UTF-8");
    let bytes = |section: &str| -> u64 {
        let row = sizes
            .lines()
            .find(|row| row.split(' ').next() == Some(section));
        let row = row.unwrap_or_else(|| panic!("no {section} in {sizes}"));
        row.split_whitespace()
            .nth(1)
            .expect("a size")
            .parse()
            .expect("a number")
    };
    assert!(bytes(".data") < 32_768, "{sizes}");
    assert!(bytes(".bss") > 9_000_000, "{sizes}");
}
