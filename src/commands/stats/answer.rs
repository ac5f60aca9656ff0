//! What a greylet has answered. It may be of another version than this one: what it tells and this one does not know is left out, and what it does
//! not tell is not there.

use crate::daemon::metrics::{HOUR, Id, METRICS, Metric};
use crate::engine::history::{OUTCOMES, Outcome};
use crate::engine::limits::HISTORY_HOURS;

/// Longest version, in bytes.
const VERSION_BYTES_MAX: usize = 64;

/// Most values of a label, more than any greylet will have.
const LABELS_MAX: usize = 256;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the greylet that has answered.
    pub version: String,
    /// In the order of [`METRICS`].
    metrics: Vec<Values>,
    /// What was decided in the hour that began so many hours before the one that has begun, by outcome.
    pub hours: [[u64; OUTCOMES]; HISTORY_HOURS],
}

/// The values of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// Whose they are.
    pub metric: &'static Metric,
    /// Each with the value of the label, which is empty if there is none. At least one.
    pub values: Vec<(String, u64)>,
}

impl Answer {
    /// Reads the lines of an answer; none if it is of another kind.
    pub fn read(lines: &[String]) -> Option<Answer> {
        let [first, lines @ ..] = lines else {
            return None;
        };
        if first != "stats=yes" {
            return None;
        }
        let lines: Vec<(&str, &str)> = lines
            .iter()
            .filter_map(|line| line.split_once('='))
            .collect();
        let named = |name| {
            let mut lines = lines.iter().filter(|(found, _)| *found == name);
            lines.next().map(|(_, value)| *value)
        };
        let version = named("version")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        let is_version =
            (1..=VERSION_BYTES_MAX).contains(&version.len()) && version.bytes().all(is_plain);
        let metrics = METRICS.iter().map(|metric| Values {
            metric,
            values: values(metric, &lines),
        });
        Some(Answer {
            version: is_version.then(|| version.to_owned())?,
            metrics: metrics.filter(|it| !it.values.is_empty()).collect(),
            hours: hours(named(&format!("{HOUR}s")).unwrap_or_default(), &lines),
        })
    }

    /// The metrics of which there are values.
    pub fn metrics(&self) -> &[Values] {
        &self.metrics
    }

    /// The values of a metric; none if they were not told.
    pub fn values(&self, id: Id) -> &[(String, u64)] {
        let mut metrics = self.metrics.iter().filter(|it| it.metric.id == id);
        metrics.next().map_or(&[], |it| &it.values)
    }

    /// The value of a metric without a label.
    pub fn value(&self, id: Id) -> Option<u64> {
        self.values(id).first().map(|(_, value)| *value)
    }

    /// The value of a metric for one value of its label.
    pub fn labelled(&self, id: Id, label: &str) -> Option<u64> {
        let mut values = self.values(id).iter().filter(|(found, _)| found == label);
        values.next().map(|(_, value)| *value)
    }
}

fn values(metric: &Metric, lines: &[(&str, &str)]) -> Vec<(String, u64)> {
    let is_word = |word: &str| {
        let is_small =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        word.bytes().all(is_small)
    };
    let value = |(name, value): &(&str, &str)| {
        let rest = name.strip_prefix(metric.name)?;
        let label = match metric.label {
            None => rest.is_empty().then_some("")?,
            Some(_) => rest.strip_prefix('.').filter(|label| is_word(label))?,
        };
        Some((label.to_owned(), value.parse().ok()?))
    };
    let mut values: Vec<(String, u64)> = Vec::new();
    for (label, value) in lines.iter().filter_map(value) {
        // Neither JSON nor Prometheus takes two values for one.
        if values.iter().all(|(known, _)| *known != label) && values.len() < LABELS_MAX {
            values.push((label, value));
        }
    }
    values
}

fn hours(names: &str, lines: &[(&str, &str)]) -> [[u64; OUTCOMES]; HISTORY_HOURS] {
    let columns: Vec<Option<usize>> = names
        .split(',')
        .map(|name| Outcome::NAMES.iter().position(|known| *known == name))
        .collect();
    let mut hours = [[0; OUTCOMES]; HISTORY_HOURS];
    for (name, counts) in lines {
        let ago = name.strip_prefix(HOUR).and_then(|it| it.strip_prefix('.'));
        let ago = ago.and_then(|ago| ago.parse::<usize>().ok());
        let Some(hour) = ago.and_then(|ago| hours.get_mut(ago)) else {
            continue;
        };
        for (column, count) in columns.iter().zip(counts.split(',')) {
            if let (Some(column), Ok(count)) = (column, count.parse()) {
                hour[*column] = count;
            }
        }
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Answer> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Answer::read(&lines)
    }

    #[test]
    fn of_another_version() {
        let answer = read(&[
            "stats=yes",
            "version=9.9",
            "hours=moon,new,early_retry",
            "moons.full=3",
            "requests=7",
            "requests.x=8",
            "requests_repeated=-1",
            "verdicts.new=5",
            "verdicts.later=2",
            "verdicts.new=6",
            "requests=8",
            "verdicts.\"=2",
            "hour.2=1,2,3,4",
            "hour.168=1,2,3",
            "hour.x=1,2,3",
        ]);
        let answer = answer.expect("an answer");
        assert_eq!(answer.version, "9.9");
        assert_eq!(answer.values(Id::Requests), [(String::new(), 7)]);
        assert_eq!(answer.value(Id::Repeated), None);
        assert_eq!(
            answer.values(Id::Verdicts),
            [("new".to_owned(), 5), ("later".to_owned(), 2)]
        );
        assert_eq!(answer.metrics().len(), 2);
        assert_eq!(answer.hours[2][Outcome::New as usize], 2);
        assert_eq!(answer.hours[2][Outcome::EarlyRetry as usize], 3);
        assert_eq!(answer.hours.iter().flatten().sum::<u64>(), 5);
    }

    #[test]
    fn what_is_no_answer() {
        for lines in [
            &["action=DUNNO"][..],
            &[],
            &["stats=yes"],
            &["stats=yes", "version=1\"2"],
            &["stats=yes", "version="],
            &["stats=yes", &format!("version={}", "9".repeat(65))],
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }
}
