//! The first act: customers come, the sidecars learn, and one sees it.
//!
//! It goes on until each sidecar has seen everything that the customers do, and often enough: a
//! demo whose customers are refused by what was learned would show nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use weir_policy::learned::{Learned, LearnedRule};
use weir_policy::op::Side;
use weir_policy::profile::{Criteria, Profile};

use super::shop::Workload;
use super::shop::stock::{CHECK, RESERVE, WATCH};
use super::stage::Stage;
use super::table::{Row, Table};
use super::transcript::Transcript;
use crate::admin::client;

/// It takes this long at least: one wants to see something.
const LEAST: Duration = Duration::from_millis(2_500);
/// What was not learned by then will not be.
const MOST: Duration = Duration::from_secs(20);
/// Between two looks at the profiles, each of which takes a moment by itself.
const STEP: Duration = Duration::from_millis(300);
/// How often each thing that customers do must have been seen.
const OFTEN: u64 = 10;

/// What one sidecar has learned.
pub(super) struct Lesson {
    /// Whose sidecar.
    pub(super) of: Workload,
    /// What it would be as a policy.
    pub(super) learned: Learned,
    /// How many shapes the usual criteria would leave to a person, of how many.
    pub(super) usually_left: (usize, usize),
}

/// What the demo asks of a shape. (`--trusted`)
fn criteria() -> Criteria {
    Criteria { trusted: true, ..Criteria::default() }
}

/// Shows how the statistics rise until the sidecars have seen enough.
///
/// # Errors
/// In words: a sidecar does not answer, or has not seen enough in time, or something else.
pub(super) async fn watch(
    stage: &mut Stage,
    transcript: &mut Transcript,
) -> Result<Vec<Lesson>, String> {
    let (began, mut table) = (Instant::now(), Table::default());
    loop {
        let profiles = look(stage).await?;
        let rows = profiles.iter().flat_map(|(of, profile)| {
            let statistics = profile.statistics(&criteria());
            statistics.into_iter().map(|statistics| Row { of: *of, statistics })
        });
        table.draw(transcript, began.elapsed(), &rows.collect::<Vec<_>>());
        let lessons: Vec<Lesson> = profiles.iter().map(lesson).collect();
        let missing = lessons.iter().find_map(|lesson| missing(lesson, stage.town().is_some()));
        match missing {
            None if began.elapsed() >= LEAST => return Ok(lessons),
            Some(words) if began.elapsed() >= MOST => {
                return Err(format!("too little was learned in {} s: {words}", MOST.as_secs()));
            }
            _ => tokio::time::sleep(STEP).await,
        }
    }
}

/// The profiles as they are now, by the sidecars' sockets.
async fn look(stage: &mut Stage) -> Result<Vec<(Workload, Profile)>, String> {
    stage.sidecars.still_run(None).map_err(|error| error.to_string())?;
    let ask = |(of, near): (Workload, PathBuf)| {
        let read = move || -> Result<_, String> {
            let text = client::text(&near, "/profile").map_err(|error| error.to_string())?;
            let name = format!("{}'s profile", of.name());
            Ok((of, Profile::from_yaml(&name, &text).map_err(|bad| bad.to_string())?))
        };
        tokio::task::spawn_blocking(read)
    };
    // All at once: each answer waits for the workers' counts.
    let asked: Vec<_> = stage.sidecars.sockets().into_iter().map(ask).collect();
    let mut profiles = Vec::new();
    for answer in asked {
        profiles.push(answer.await.map_err(|error| error.to_string())??);
    }
    Ok(profiles)
}

fn lesson((of, profile): &(Workload, Profile)) -> Lesson {
    let learned = profile.learned(&criteria());
    let usual = profile.learned(&Criteria::default());
    let left = usual.rules.iter().map(|rule| rule.left.len()).sum();
    let taken: usize = usual.rules.iter().map(|rule| rule.entries.len()).sum();
    Lesson { of: *of, learned, usually_left: (left, left + taken) }
}

/// What customers make others do to a service, as entries: the demo knows, for it sends them.
fn asked_of(of: Workload) -> &'static [&'static str] {
    match of {
        Workload::Frontend => &[
            "GET /carts/{int}",
            "GET /products",
            "GET /products/{int}",
            "POST /carts/{int}/checkout",
            "POST /carts/{int}/items",
        ],
        Workload::Cart => {
            &["GET /carts/{int}", "POST /carts/{int}/checkout", "POST /carts/{int}/items"]
        }
        Workload::Store => &[
            "DEL cart:{int}",
            "GET order:{int}",
            "HGETALL cart:{int}",
            "HINCRBY cart:{int}",
            "INCR orders",
            "SET order:{int}",
        ],
        Workload::Stock => &[CHECK, RESERVE, WATCH],
    }
}

/// What a sidecar's lesson should be, by sides. Without pods it sees one.
fn expected(of: Workload, pods: bool) -> [(Side, Vec<&'static str>); 2] {
    let asked: &[Workload] = match of {
        Workload::Frontend if pods => &[Workload::Cart, Workload::Stock],
        Workload::Cart if pods => &[Workload::Store],
        _ => &[],
    };
    let asks = asked.iter().flat_map(|of| asked_of(*of)).copied().collect();
    [(Side::Inbound, asked_of(of).to_vec()), (Side::Outbound, asks)]
}

/// Where a lesson differs from what customers do, in words; none: it is all that, and no more.
fn missing(lesson: &Lesson, pods: bool) -> Option<String> {
    let name = lesson.of.name();
    expected(lesson.of, pods).into_iter().find_map(|(side, ops)| {
        let rules: Vec<&LearnedRule> =
            lesson.learned.rules.iter().filter(|rule| rule.side == side).collect();
        let entries = || rules.iter().flat_map(|rule| &rule.entries);
        let seen = |op: &str| {
            let mine = entries().filter(|entry| entry.op == op);
            mine.map(|entry| entry.evidence.operations).sum::<u64>()
        };
        if let Some(op) = ops.iter().find(|op| seen(op) < OFTEN) {
            return Some(format!("{name} has seen {op} {} times, {side}", seen(op)));
        }
        if let Some(other) = entries().find(|entry| !ops.contains(&entry.op.as_str())) {
            return Some(format!("{name} has seen {}, {side}, which no customer does", other.op));
        }
        let left = rules.iter().find_map(|rule| rule.left.first());
        left.map(|(entry, why)| format!("{name}: {} is left to a person: {why}", entry.op))
    })
}

#[cfg(test)]
mod tests {
    use weir_policy::learned::{Evidence, LearnedEntry};
    use weir_policy::op::Protocol;

    use super::{Learned, LearnedRule, Lesson, Side, Workload, asked_of, missing};

    fn lesson(ops: &[&str], operations: u64) -> Lesson {
        let entry = |op: &&str| LearnedEntry {
            op: (*op).to_owned(),
            upgrade: false,
            permit: Vec::new(),
            override_headers: Vec::new(),
            evidence: Evidence { operations, ..Evidence::default() },
        };
        let rule = LearnedRule {
            side: Side::Inbound,
            peers: Vec::new(),
            port: 8081,
            protocol: Protocol::Http,
            databases: Vec::new(),
            notes: Vec::new(),
            entries: ops.iter().map(entry).collect(),
            left: Vec::new(),
        };
        let learned = Learned { rules: vec![rule] };
        Lesson { of: Workload::Cart, learned, usually_left: (0, 0) }
    }

    #[test]
    fn a_lesson_is_what_customers_do_and_often_enough() {
        let all = asked_of(Workload::Cart);
        assert_eq!(missing(&lesson(all, 10), false), None);
        assert!(missing(&lesson(&all[1..], 10), false).unwrap().contains("0 times"));
        assert!(missing(&lesson(all, 9), false).unwrap().contains("9 times"));
        let more = [all, &["DELETE /carts/{int}"]].concat();
        assert!(missing(&lesson(&more, 10), false).unwrap().contains("no customer"));
        assert!(missing(&lesson(all, 10), true).unwrap().contains("outbound"));
    }
}
