//! The statistics of the profiles as a table, which rises: on a terminal in place, elsewhere line
//! below line.

use std::time::Duration;

use weir_policy::op::Side;
use weir_policy::profile::Statistics;

use super::shop::Workload;
use super::transcript::{Tone, Transcript};

/// What one sidecar says of one rule.
pub(super) struct Row {
    /// Whose sidecar.
    pub(super) of: Workload,
    /// What it says.
    pub(super) statistics: Statistics,
}

/// The table as it stands.
#[derive(Default)]
pub(super) struct Table {
    /// The lines that the next ones replace.
    lines: usize,
    headed: bool,
}

impl Table {
    /// Draws the rows in place of those before.
    pub(super) fn draw(&mut self, to: &mut Transcript, after: Duration, rows: &[Row]) {
        if !self.headed {
            head(to);
            self.headed = true;
        }
        let after = after.as_secs_f64();
        let lines: Vec<String> = rows.iter().map(|row| line(after, row)).collect();
        to.redraw(self.lines, &lines);
        self.lines = lines.len();
    }
}

const HEADS: [&str; 2] = [
    "   after  sidecar            seen  shapes  new a   never seen before,  refused a day,",
    "                        operations            day   in the next hour     if enforced",
];

fn head(to: &mut Transcript) {
    for text in HEADS {
        let text = to.paint(Tone::Quiet, text);
        to.line(&text);
    }
}

/// A line of less than 85 columns.
fn line(after: f64, row: &Row) -> String {
    let Statistics { operations, shapes, new_a_day, chance, refusals_a_day, .. } = &row.statistics;
    let name = match row.statistics.side {
        Side::Inbound => format!("{} in", row.of.name()),
        // A service may ask several others.
        Side::Outbound => format!("{} out {}", row.of.name(), row.statistics.port),
    };
    let chance = format!(
        "{:.0} % ({:.0}-{:.0})",
        chance.value * 100.0,
        chance.low * 100.0,
        chance.high * 100.0
    );
    let refusals = format!(
        "{:.0} ({:.0}-{:.0})",
        refusals_a_day.value, refusals_a_day.low, refusals_a_day.high
    );
    format!(
        "   {after:>4.1}s  {name:<17}{operations:>6}  {shapes:>6}  {new_a_day:>5.0}   {chance:>18}  {refusals:>14}"
    )
}
