//! The figures that Weir set itself to reach.

use serde::Serialize;

use crate::{memory::Memory, rounds::Figures, target::Kind};

/// A goal and what was measured. Goals are reported, never asserted: a figure of a busy machine is no test.
#[derive(Debug, Clone, Serialize)]
pub struct Goal {
    /// What it is about.
    pub what: &'static str,
    /// The most it may be.
    pub at_most: f64,
    /// The unit of both figures.
    pub unit: &'static str,
    /// What was measured; none if it could not be.
    pub measured: Option<f64>,
    /// Whether the goal is reached; none if it was not measured.
    pub met: Option<bool>,
}

/// All goals, with the figures found for them.
pub fn goals(figures: &[Figures], memory: &[Memory]) -> Vec<Goal> {
    let over = |workload| {
        let mine = |f: &&Figures| f.workload == workload && f.target == Kind::WeirEnforce;
        figures.iter().find(mine).and_then(|f| Some(f.cpu_over_yardstick?.median))
    };
    let worst = |of: fn(&Memory) -> f64| {
        let weir = |m: &&Memory| m.target == Kind::WeirEnforce;
        memory.iter().filter(weir).map(of).max_by(f64::total_cmp)
    };
    let times = "x HAProxy's CPU time";
    vec![
        row("HTTP, enforce", 1.3, times, over("http")),
        row("Redis, not pipelined, enforce", 1.2, times, over("redis")),
        row("bulk, enforce", 0.7, times, over("bulk")),
        row("an idle connection", 8.0, "KiB", worst(|m| m.bytes_per_connection / 1024.0)),
        row("at rest", 12.0, "MiB", worst(|m| m.at_rest_kib as f64 / 1024.0)),
    ]
}

/// The goals of learning.
pub fn learning(figures: &[Figures]) -> Vec<Goal> {
    let goal = |what, workload| {
        let mine = |f: &&Figures| f.workload == workload && f.target == Kind::Learning;
        let over = figures.iter().find(mine).and_then(|f| Some(f.cpu_over_yardstick?.median));
        row(what, 1.1, "x monitor's CPU time", over)
    };
    vec![
        goal("HTTP, learn", "http"),
        goal("Redis, learn", "redis"),
        goal("Redis, pipelined, learn", "redis_pipelined"),
    ]
}

fn row(what: &'static str, at_most: f64, unit: &'static str, measured: Option<f64>) -> Goal {
    Goal { what, at_most, unit, measured, met: measured.map(|value| value <= at_most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_memory_counts_and_the_unmeasured_is_not_met() {
        let memory = |protocol, rest, each| Memory {
            target: Kind::WeirEnforce,
            protocol,
            at_rest_kib: rest,
            connections: 10,
            bytes_per_connection: each,
            after_closing_kib: rest,
        };
        let goals = goals(&[], &[memory("http", 4096, 9000.0), memory("redis", 13_000, 100.0)]);
        let met: Vec<Option<bool>> = goals.iter().map(|goal| goal.met).collect();
        assert_eq!(met, [None, None, None, Some(false), Some(false)]);
    }
}
