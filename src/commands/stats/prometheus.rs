//! The text format that Prometheus reads (exposition format 0.0.4), with names by its conventions: a prefix of our own, base units, `_total` behind
//! counters. What is not known is left out, and so is the history, which Prometheus keeps itself.

use std::io::{self, Write};

use super::answer::Answer;
use crate::daemon::metrics::{Kind, Label};

/// Writes it.
///
/// # Errors
///
/// It cannot be written.
pub fn write(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(
        out,
        "# HELP greylet_build_info The version that runs; always 1."
    )?;
    writeln!(out, "# TYPE greylet_build_info gauge")?;
    let version = &answer.version;
    writeln!(out, "greylet_build_info{{version=\"{version}\"}} 1")?;
    for it in answer.metrics() {
        let (suffix, kind) = match it.metric.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
        };
        let name = format!("greylet_{}{suffix}", it.metric.name);
        writeln!(out, "# HELP {name} {}", it.metric.help)?;
        writeln!(out, "# TYPE {name} {kind}")?;
        for (label, value) in &it.values {
            match it.metric.label.map(Label::name) {
                Some(of) => writeln!(out, "{name}{{{of}=\"{label}\"}} {value}")?,
                None => writeln!(out, "{name} {value}")?,
            }
        }
    }
    Ok(())
}
