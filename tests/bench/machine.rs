//! On what, of what and with which command the figures were taken.

use std::fs;
use std::process::Command;

use crate::options::Options;

/// The lines above a table.
///
/// # Errors
///
/// There is no working greylet to measure.
pub(crate) fn describe(options: &Options) -> Result<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |names: &[&str]| {
        let (_, value) = cpu
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| names.contains(&name.trim()))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    // An ARM kernel names the board instead.
    let model = field(&["model name", "Model", "Hardware", "cpu model"])
        .unwrap_or_else(|| "unknown CPU".to_owned());
    let is_virtual = field(&["flags"])
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    let machine = if is_virtual { ", virtual machine" } else { "" };
    // We ourselves may run on one only.
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let binary = &options.binary;
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", binary.display());
    let bytes = |binary| fs::metadata(binary).map(|binary| binary.len());
    let mut sizes = format!(
        "{} kB",
        bytes(binary).map_err(|error| failed(&error))? / 1_000
    );
    if let Some(binary) = &options.static_binary {
        let bytes = bytes(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
        sizes = format!("{sizes}, static {} kB", bytes / 1_000);
    }
    let version = Command::new(binary)
        .arg("--version")
        .output()
        .map_err(|error| failed(&error))?;
    if !version.status.success() {
        return Err(failed(&format_args!("--version: {}", version.status)));
    }
    let words: String = options
        .words
        .iter()
        .map(|word| format!(" {word}"))
        .collect();
    let separator = if words.is_empty() { "" } else { " --" };
    Ok(format!(
        "{model}, {cores} cores{machine}, {}, Linux {}; {}, {sizes}\n\n    cargo bench --bench load{separator}{words}\n",
        std::env::consts::ARCH,
        kernel.trim(),
        String::from_utf8_lossy(&version.stdout).trim(),
    ))
}
