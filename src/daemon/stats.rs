//! What `greylet stats` gets: the value of each metric, and the hours of the last seven days, as lines of the policy protocol's form. It is told in
//! pieces of bounded length, so that all of it need not fit into one buffer.

use std::fmt::{self, Write};

use heapless::VecView;

use crate::daemon::Shared;
use crate::daemon::complaints::Complaint;
use crate::daemon::log;
use crate::daemon::metrics::{HOUR, Id, Label, METRICS, Metric};
use crate::engine::history::{OUTCOMES, Outcome, hour};
use crate::engine::limits::HISTORY_HOURS;
use crate::engine::table::Class;
use crate::engine::time::Timestamp;

/// What a request asks for that wants the numbers.
pub(super) const STATS: &[u8] = b"stats";

/// Pieces of an answer: the head, each metric, each hour, the end.
pub(super) const PIECES: usize = METRICS.len() + HISTORY_HOURS + 2;

/// Longest piece, in bytes.
pub(super) const PIECE_BYTES_MAX: usize = 2_048;

const _: () = {
    const NAME_BYTES_MAX: usize = 32;
    // Of a label's value, and of an outcome.
    const VALUE_BYTES_MAX: usize = 24;
    // A name, a dot, a value of its label, an equals sign, a number, a line end.
    const LINE_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + VALUE_BYTES_MAX + 1 + 20 + 1;
    let mut index = 0;
    while index < METRICS.len() {
        assert!(METRICS[index].name.len() <= NAME_BYTES_MAX);
        if let Some(label) = METRICS[index].label {
            let values = label.values();
            assert!(values.len() * LINE_BYTES_MAX <= PIECE_BYTES_MAX);
            let mut value = 0;
            while value < values.len() {
                assert!(values[value].len() <= VALUE_BYTES_MAX);
                value += 1;
            }
        }
        index += 1;
    }
    let mut outcome = 0;
    while outcome < OUTCOMES {
        assert!(Outcome::NAMES[outcome].len() <= VALUE_BYTES_MAX);
        outcome += 1;
    }
    // The head, and an hour.
    assert!(64 + OUTCOMES * (VALUE_BYTES_MAX + 1) <= PIECE_BYTES_MAX);
    assert!(16 + OUTCOMES * 11 <= PIECE_BYTES_MAX);
};

/// Appends a piece of the answer as it is at a time, the first is 0; `to` must have room for [`PIECE_BYTES_MAX`].
pub(super) fn append_piece(
    to: &mut VecView<u8>,
    piece: usize,
    shared: &Shared<'_>,
    now: Timestamp,
) {
    let appended = match piece.checked_sub(1) {
        None => append_head(to),
        Some(index) if index < METRICS.len() => append_metric(to, &METRICS[index], shared, now),
        Some(index) if index < METRICS.len() + HISTORY_HOURS => {
            append_hour(to, index - METRICS.len(), shared, now)
        }
        Some(_) => to.write_str("\n"),
    };
    debug_assert!(appended.is_ok(), "a piece is longer than its bound");
}

fn append_head(to: &mut VecView<u8>) -> fmt::Result {
    write!(
        to,
        "stats=yes\nversion={}\n{HOUR}s=",
        env!("CARGO_PKG_VERSION")
    )?;
    for (index, name) in Outcome::NAMES.iter().enumerate() {
        write!(to, "{}{name}", if index > 0 { "," } else { "" })?;
    }
    to.write_str("\n")
}

/// A value that is not known has no line.
fn append_metric(
    to: &mut VecView<u8>,
    metric: &Metric,
    shared: &Shared<'_>,
    now: Timestamp,
) -> fmt::Result {
    let Metric { id, name, .. } = metric;
    for (index, label) in metric
        .label
        .map_or(&[""][..], Label::values)
        .iter()
        .enumerate()
    {
        let dot = if label.is_empty() { "" } else { "." };
        if let Some(value) = value(shared, *id, index, now) {
            writeln!(to, "{name}{dot}{label}={value}")?;
        }
    }
    Ok(())
}

/// An hour in which there was nothing has no line.
fn append_hour(
    to: &mut VecView<u8>,
    ago: usize,
    shared: &Shared<'_>,
    now: Timestamp,
) -> fmt::Result {
    let engine = shared.engine.borrow();
    let number = hour(now).checked_sub(ago as u32);
    let counts = number.and_then(|number| engine.history().counts(number));
    let Some(counts) = counts.filter(|counts| **counts != [0; OUTCOMES]) else {
        return Ok(());
    };
    write!(to, "{HOUR}.{ago}=")?;
    for (index, count) in counts.iter().enumerate() {
        write!(to, "{}{count}", if index > 0 { "," } else { "" })?;
    }
    to.write_str("\n")
}

/// The value of a metric, or of one of the values of its label; none if it is not known.
pub(super) fn value(shared: &Shared<'_>, id: Id, label: usize, now: Timestamp) -> Option<u64> {
    let engine = shared.engine.borrow();
    let table = engine.table();
    let class = || Class::ALL[label];
    let total = |complaint| Some(shared.complaints.total(complaint));
    let saves = shared.saves.get();
    match id {
        Id::Uptime => Some(shared.clock.uptime_seconds()),
        Id::DryRun => Some(shared.is_dry_run.into()),
        Id::Requests => Some(shared.answers.get()),
        Id::Repeated => Some(engine.tally().repeated()),
        Id::Verdicts => Some(engine.tally().verdicts()[label]),
        Id::Unjudged => total(Complaint::Unjudged),
        Id::Malformed => total(Complaint::Malformed),
        Id::Entries => Some(table.len_of(class()).into()),
        Id::EntriesMax => Some(table.capacity().into()),
        Id::EntriesUnused => table
            .least_recently_used(class())
            .map(|entry| now.since(entry.last_seen).get().into()),
        Id::EntriesBeyondShare => Some(engine.entries_beyond_share()),
        Id::Evictions => Some(table.evictions().of(class())),
        Id::EvictedYoung => total(Complaint::TableTooSmall),
        Id::EvictedPendingAgeMin => {
            let age = table.evictions().youngest_pending();
            age.map(|age| age.get().into())
        }
        Id::Connections => Some(shared.admission.open() as u64),
        Id::ConnectionsMax => Some(shared.admission.connections_max() as u64),
        Id::ConnectionsAccepted => Some(shared.admission.admitted()),
        Id::ConnectionLimitReached => Some(shared.limit_reached.get()),
        Id::ConnectionsClosedForRoom => Some(shared.admission.given_way()),
        Id::SnapshotAge => Some(now.since(saves?.last?).get().into()),
        Id::SnapshotSize => saves?.file_bytes,
        Id::SnapshotWritten => Some(saves?.written_bytes),
        Id::SnapshotSaves => Some(saves?.done),
        Id::SnapshotSavesFailed => Some(saves?.failed),
        Id::LogLinesLost => Some(log::lost_lines()),
    }
}
