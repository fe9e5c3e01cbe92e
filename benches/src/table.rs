//! The figures as text.

use std::fmt::Write;

use crate::{
    goal::Goal,
    http2::idle::Idle,
    memory::Memory,
    rounds::{Figures, Traffic},
    stats::Spread,
    target::Kind,
};

/// What stands above the tables.
pub fn head(rounds: usize, placement: &str) -> String {
    let meaning = "medians over the rounds (least-greatest); CPU time is the proxy's own, \
                   \"all CPU\" that of client, proxy and origin";
    format!("{rounds} rounds; {placement}\n{meaning}\n")
}

/// A table for each workload: throughput, latency, CPU time.
pub fn figures(figures: &[Figures], workloads: &[impl Traffic], yardstick: Kind) -> String {
    let mut out = String::new();
    for workload in workloads {
        line(&mut out, &format!("\n{}", workload.title()));
        let times = format!("x {}", yardstick.name());
        let heads =
            ["requests/s", "p50 µs", "p99 µs", "CPU µs/request", &times, "all CPU", "logged"];
        row(&mut out, "", &heads.map(str::to_owned));
        for f in figures.iter().filter(|f| f.workload == workload.key()) {
            let cells = [
                spread(Some(f.requests_per_second)),
                spread(Some(f.p50_micros)),
                spread(Some(f.p99_micros)),
                spread(f.cpu_micros_per_request),
                spread(f.cpu_over_yardstick),
                spread(Some(f.all_cpu_micros_per_request)),
                f.records.map_or_else(dash, |records| format!("{records}/{}", f.requests)),
            ];
            row(&mut out, f.target.name(), &cells);
        }
    }
    out
}

/// A table of memory.
pub fn memory(memory: &[Memory]) -> String {
    let mut out = String::new();
    line(&mut out, "\nMemory, idle connections after one exchange each");
    let heads = ["protocol", "connections", "at rest KiB", "B/connection", "after closing KiB"];
    row(&mut out, "", &heads.map(str::to_owned));
    for m in memory {
        let cells = [
            m.protocol.to_owned(),
            m.connections.to_string(),
            m.at_rest_kib.to_string(),
            format!("{:.0}", m.bytes_per_connection),
            m.after_closing_kib.to_string(),
        ];
        row(&mut out, m.target.name(), &cells);
    }
    out
}

/// A table of the memory of streams.
pub fn streams(idle: &[Idle]) -> String {
    let mut out = String::new();
    line(&mut out, "\nMemory, idle streams of one connection");
    let heads = ["streams", "at rest KiB", "B/stream", "after closing KiB"];
    row(&mut out, "", &heads.map(str::to_owned));
    for i in idle {
        let cells = [
            i.streams.to_string(),
            i.at_rest_kib.to_string(),
            format!("{:.0}", i.bytes_per_stream),
            i.after_closing_kib.to_string(),
        ];
        row(&mut out, i.target.name(), &cells);
    }
    out
}

/// The goals, each met, not met or not measured.
pub fn goals(goals: &[Goal]) -> String {
    let mut out = String::new();
    line(&mut out, "\nGoals");
    for goal in goals {
        let measured = goal.measured.map_or_else(dash, number);
        let met = match goal.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        let (what, at_most, unit) = (goal.what, goal.at_most, goal.unit);
        line(&mut out, &format!("  {what:<30} {measured:>8} of at most {at_most} {unit}: {met}"));
    }
    out
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(dash, |s| {
        format!("{} ({}-{})", number(s.median), number(s.min), number(s.max))
    })
}

/// Three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value {
        v if v >= 999_500.0 => format!("{:.2}M", v / 1e6),
        v if v >= 99_950.0 => format!("{:.0}k", v / 1e3),
        v if v >= 9_995.0 => format!("{:.1}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn row(out: &mut String, name: &str, cells: &[String]) {
    let mut text = format!("  {name:<16}");
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = write!(text, " {cell:>20}");
    }
    line(out, &text);
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.524, 14.03, 437.2, 9_990.0, 14_015.0, 109_815.0, 1_540_341.0].map(number);
        assert_eq!(shown, ["0.52", "14.0", "437", "9990", "14.0k", "110k", "1.54M"]);
    }

    #[test]
    fn goals_say_met_or_not() {
        let goal = |measured, met| Goal { what: "bulk", at_most: 0.7, unit: "x", measured, met };
        let text =
            goals(&[goal(Some(0.5), Some(true)), goal(Some(0.9), Some(false)), goal(None, None)]);
        assert!(text.contains("0.50 of at most 0.7 x: met"));
        assert!(text.contains("0.90 of at most 0.7 x: NOT MET"));
        assert!(text.contains("- of at most 0.7 x: not measured"));
    }
}
