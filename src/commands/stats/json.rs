//! One JSON object. It is what OpenWrt's rpcd hands on to programs, so names stay as they are, and all numbers are whole. What is not known is left out.

use std::io::{self, Write};

use super::answer::Answer;
use crate::commands::json::{Text, list};
use crate::engine::history::Outcome;

/// Writes it, and a line end.
///
/// # Errors
///
/// It cannot be written.
pub fn write(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    write!(out, "{{\"version\":{}", Text(&answer.version))?;
    for it in answer.metrics() {
        write!(out, ",\"{}\":", it.metric.name)?;
        if it.metric.label.is_some() {
            out.write_all(b"{")?;
            list(out, it.values.iter(), |out, (label, value)| {
                write!(out, "{}:{value}", Text(label))
            })?;
            out.write_all(b"}")?;
        } else if let Some((_, value)) = it.values.first() {
            write!(out, "{value}")?;
        }
    }
    out.write_all(b",\"history\":{")?;
    list(
        out,
        Outcome::NAMES.iter().enumerate(),
        |out, (outcome, name)| {
            write!(out, "\"{name}\":[")?;
            let oldest_first = answer.hours.iter().rev();
            list(out, oldest_first, |out, hour| {
                write!(out, "{}", hour[outcome])
            })?;
            out.write_all(b"]")
        },
    )?;
    out.write_all(b"}}\n")
}
