//! The house rules that a compiler does not check: the engine is pure, and uses nothing of ours outside itself.

use std::fs;
use std::path::{Path, PathBuf};

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
    assert_eq!(lines_with("engine", &impure), [] as [String; 0]);
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
