//! What a running greylet counts and measures: the names, in one table, by which the server tells and `greylet stats` prints.

use crate::engine::table::Class;
use crate::engine::tally::Tally;

/// A number, or one for each value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Which it is, for those who know the value.
    pub id: Id,
    /// Of small letters and underscores, with the unit at the end. Part of what `--json` and `--prometheus` promise, so it must never change.
    pub name: &'static str,
    /// How it goes on.
    pub kind: Kind,
    /// What it is in.
    pub unit: Unit,
    /// What there is a number for each value of.
    pub label: Option<Label>,
    /// What it is, in a line.
    pub help: &'static str,
}

/// How a metric goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It begins with 0 at the start of the server, and only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What a metric is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things that its name says.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// By what a metric is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The kind of a verdict.
    Reason,
    /// The class of an entry.
    Class,
}

impl Label {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Label::Reason => "reason",
            Label::Class => "class",
        }
    }

    /// The values that it can have.
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            Label::Reason => &Tally::NAMES,
            Label::Class => &Class::NAMES,
        }
    }
}

/// Each [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table says what they are")]
pub enum Id {
    Uptime,
    DryRun,
    Requests,
    Repeated,
    Verdicts,
    Unjudged,
    Malformed,
    Entries,
    EntriesMax,
    EntriesUnused,
    EntriesBeyondShare,
    Evictions,
    EvictedYoung,
    EvictedPendingAgeMin,
    Connections,
    ConnectionsMax,
    ConnectionsAccepted,
    ConnectionLimitReached,
    ConnectionsClosedForRoom,
    SnapshotAge,
    SnapshotSize,
    SnapshotWritten,
    SnapshotSaves,
    SnapshotSavesFailed,
    LogLinesLost,
}

/// Rows of the table.
macro_rules! metrics {
    ($($id:ident $name:literal $kind:ident $unit:ident $label:expr, $help:literal;)*) => {
        &[$(Metric {
            id: Id::$id,
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            label: $label,
            help: $help,
        },)*]
    };
}

/// All of them, in the order in which they are told.
pub const METRICS: &[Metric] = metrics! {
    Uptime "uptime_seconds" Gauge Seconds None, "Time since the start.";
    DryRun "dry_run" Gauge Count None, "Whether it only pretends (--dry-run), so that all mail passes; 1 or 0.";
    Requests "requests" Counter Count None, "Requests answered.";
    Repeated "requests_repeated" Counter Count None, "Requests that repeat one of the same message, and got its answer again; in no other number by reason.";
    Verdicts "verdicts" Counter Count Some(Label::Reason), "Verdicts by reason; new and early_retry are deferred, the others pass.";
    Unjudged "requests_unjudged" Counter Count None, "Requests that passed because something needed was missing.";
    Malformed "protocol_errors" Counter Count None, "Connections closed because the client does not speak the policy protocol.";
    Entries "entries" Gauge Count Some(Label::Class), "Entries in the table.";
    EntriesMax "entries_max" Gauge Count None, "Entries the table has room for.";
    EntriesUnused "entries_unused_max_seconds" Gauge Seconds Some(Label::Class), "Time since the last use of the entry that was not used for longest.";
    EntriesBeyondShare "entries_beyond_share" Counter Count None, "Pending entries of mail servers that were kept as plain, because their organisation had entered its share.";
    Evictions "evictions" Counter Count Some(Label::Class), "Entries that had to make room before they expired.";
    EvictedYoung "evictions_young" Counter Count None, "Requests for which a pending entry had to make room within an hour; the table is too small.";
    EvictedPendingAgeMin "evicted_pending_age_min_seconds" Gauge Seconds None, "Age of the youngest pending entry that had to make room since the start.";
    Connections "connections_open" Gauge Count None, "Connections there are.";
    ConnectionsMax "connections_max" Gauge Count None, "Connections there can be.";
    ConnectionsAccepted "connections_accepted" Counter Count None, "Connections there have been.";
    ConnectionLimitReached "connections_limit_reached" Counter Count None, "Connections that found no free place at first.";
    ConnectionsClosedForRoom "connections_closed_for_room" Counter Count None, "Connections closed to make room for others.";
    SnapshotAge "snapshot_age_seconds" Gauge Seconds None, "Time since the last save.";
    SnapshotSize "snapshot_size_bytes" Gauge Bytes None, "Size of the snapshot.";
    SnapshotWritten "snapshot_written_bytes" Counter Bytes None, "Bytes written by saves.";
    SnapshotSaves "snapshot_saves" Counter Count None, "Saves done.";
    SnapshotSavesFailed "snapshot_saves_failed" Counter Count None, "Saves that have failed.";
    LogLinesLost "log_lines_lost" Counter Count None, "Log lines dropped because nobody read them in time.";
};

/// What the hours of the history are told under, and how long ago they are behind it: `hour.0` is the one that has begun.
pub const HOUR: &str = "hour";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        for metric in METRICS {
            let unit = match metric.unit {
                Unit::Count => "",
                Unit::Seconds => "_seconds",
                Unit::Bytes => "_bytes",
            };
            let name = metric.name;
            assert!(name.ends_with(unit), "{name}");
            assert!(!name.ends_with("_total"), "{name}");
            let is_small = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(is_small), "{name}");
            for value in metric.label.map_or(&[][..], Label::values) {
                assert!(value.bytes().all(is_small), "{value}");
            }
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\\', '\n']));
            let namesakes = METRICS.iter().filter(|other| other.name == name);
            assert_eq!(namesakes.count(), 1, "{name}");
        }
    }
}
