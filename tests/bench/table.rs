//! The table of the comparison. Shown are medians over the rounds; a ratio is taken within a round first.

use std::fmt::{self, Display, Write};

use crate::client::Figures;
use crate::system_calls::SystemCalls;
use crate::workload::Setting;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

/// The figures of one server in one setting.
struct Row {
    setting: Setting,
    server: &'static str,
    /// With those of the limit server in the same round.
    rounds: Vec<(Figures, Figures)>,
    /// With the requests in which they came.
    system_calls: Option<(SystemCalls, u64)>,
}

impl Table {
    /// Takes in what a round has given in a setting; the limit server comes first.
    pub(crate) fn note(&mut self, setting: Setting, figures: &[(&'static str, Figures)]) {
        let Some(&(_, limit)) = figures.first() else {
            return;
        };
        for &(server, figures) in figures {
            match self.row(setting, server) {
                Some(row) => row.rounds.push((figures, limit)),
                None => self.0.push(Row {
                    setting,
                    server,
                    rounds: vec![(figures, limit)],
                    system_calls: None,
                }),
            }
        }
    }

    /// Takes in the system calls of so many requests.
    pub(crate) fn note_system_calls(
        &mut self,
        setting: Setting,
        server: &str,
        system_calls: SystemCalls,
        requests: u64,
    ) {
        if let Some(row) = self.row(setting, server) {
            row.system_calls = Some((system_calls, requests));
        }
    }

    fn row(&mut self, setting: Setting, server: &str) -> Option<&mut Row> {
        let mut rows = self.0.iter_mut();
        rows.find(|row| row.setting == setting && row.server == server)
    }

    /// How far the rounds of a row are apart, in percent of the lowest, in the row where that is most.
    fn widest(&self, figure: fn(&Figures) -> f64) -> f64 {
        let spread = |row: &Row| {
            let figures = row.rounds.iter().map(|(own, _)| figure(own));
            let lowest = figures.clone().fold(f64::INFINITY, f64::min);
            let highest = figures.fold(0.0, f64::max);
            (highest / lowest - 1.0) * 100.0
        };
        self.0.iter().map(spread).fold(0.0, f64::max)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "| workload | connections | server | requests/s | of limit | p50, us | p99, us | p99.9, us | CPU per request, us | of limit \
             | switches per 1000 | system calls per request | resident, kB | written per 1000, kB | of it log, kB |\n\
             |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        )?;
        for row in &self.0 {
            row.fmt(f)?;
        }
        writeln!(
            f,
            "\n- medians of {} rounds; within a row, requests/s differ by up to {:.0} % between rounds, CPU per request by up to {:.0} %",
            self.0.first().map_or(0, |row| row.rounds.len()),
            self.widest(|figures| figures.requests_per_second),
            self.widest(|figures| figures.cpu_us),
        )?;
        for row in self.0.iter().filter(|row| row.setting.is_typical()) {
            if let Some((calls, requests)) = &row.system_calls {
                let Row {
                    setting, server, ..
                } = row;
                let frequent = calls.frequent(*requests);
                writeln!(
                    f,
                    "- system calls of a request under strace, {setting}, {server}: {frequent}"
                )?;
            }
        }
        Ok(())
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median =
            |figure: fn(&Figures) -> f64| median_of(self.rounds.iter().map(|(own, _)| figure(own)));
        let ratio = |figure: fn(&Figures) -> f64| {
            let ratios = self.rounds.iter();
            median_of(ratios.map(|(own, limit)| figure(own) / figure(limit)))
        };
        let Setting {
            workload,
            connections,
            socket,
        } = self.setting;
        let mut system_calls = String::from("–");
        if let Some((calls, requests)) = &self.system_calls {
            system_calls.clear();
            write!(system_calls, "{:.2}", calls.per_request(*requests))?;
        }
        writeln!(
            f,
            "| {workload} | {connections} {socket} | {} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.0} | {system_calls} | {:.0} | {:.0} | {:.0} |",
            self.server,
            median(|figures| figures.requests_per_second),
            ratio(|figures| figures.requests_per_second),
            median(|figures| figures.p50_us),
            median(|figures| figures.p99_us),
            median(|figures| figures.p999_us),
            median(|figures| figures.cpu_us),
            ratio(|figures| figures.cpu_us),
            median(|figures| figures.switches * 1e3),
            median(|figures| figures.resident_kb),
            median(|figures| figures.written_bytes),
            median(|figures| figures.log_bytes),
        )
    }
}

/// Of an even number, what lies between the two in the middle.
pub(crate) fn median_of(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}
