//! The figures that Weir set itself to reach.

use serde::Serialize;

use crate::{http2::idle::Idle, memory::Memory, rounds::Figures, target::Kind};

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
    let over = |workload| over(figures, workload, Kind::WeirEnforce);
    let worst = |of: fn(&Memory) -> f64| {
        let weir = |m: &&Memory| m.target == Kind::WeirEnforce;
        memory.iter().filter(weir).map(of).max_by(f64::total_cmp)
    };
    let times = TIMES;
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
        row(what, 1.1, "x monitor's CPU time", over(figures, workload, Kind::Learning))
    };
    vec![
        goal("HTTP, learn", "http"),
        goal("Redis, learn", "redis"),
        goal("Redis, pipelined, learn", "redis_pipelined"),
    ]
}

/// The goals of HTTP/2.
pub fn http2(figures: &[Figures], idle: &[Idle]) -> Vec<Goal> {
    let goal = |what, workload| row(what, 0.8, TIMES, over(figures, workload, Kind::WeirEnforce));
    let weir = |i: &&Idle| i.target != Kind::Haproxy;
    let idle = idle.iter().filter(weir).map(|i| i.bytes_per_stream / 1024.0);
    vec![
        goal("HTTP/2 GET, enforce", "h2_get"),
        goal("HTTP/2 POST, enforce", "h2_post"),
        goal("gRPC unary, enforce", "grpc_unary"),
        goal("gRPC streaming, enforce", "grpc_streaming"),
        row("an idle stream", 1.0, "KiB", idle.max_by(f64::total_cmp)),
    ]
}

const TIMES: &str = "x HAProxy's CPU time";

fn over(figures: &[Figures], workload: &str, target: Kind) -> Option<f64> {
    let mine = |f: &&Figures| f.workload == workload && f.target == target;
    figures.iter().find(mine).and_then(|f| Some(f.cpu_over_yardstick?.median))
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
