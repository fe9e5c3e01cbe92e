//! What was said of all records, grouped and counted.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::json;

use super::masked::{Outcome, Said};
use crate::cli::failure::Message;
use crate::cli::terminal::shown;

/// So many groups are told apart.
const GROUPS: usize = 16 << 10;
/// So many broken lines are named.
const NAMED: usize = 5;

/// What one line of the answer is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    refused: bool,
    side: &'static str,
    port: Option<u16>,
    protocol: &'static str,
    op: String,
    reason: String,
}

/// How many operations of a group there were, and one of them.
#[derive(Debug, Default)]
struct Count {
    operations: u64,
    example: Option<String>,
}

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    groups: HashMap<Group, Count>,
    /// Operations of groups past the bound: undecidable, refused.
    others: [u64; 2],
    allowed: u64,
    ungoverned: u64,
    refused: u64,
    undecidable: u64,
    records: u64,
    broken: u64,
    first_broken: Vec<(u64, &'static str)>,
}

impl Tally {
    /// Counts a record.
    pub(super) fn add(&mut self, outcome: &Outcome<'_>) {
        self.records += 1;
        let (total, refused, reason) = match &outcome.said {
            Said::Allowed { ungoverned } => {
                self.allowed += outcome.count;
                self.ungoverned += if *ungoverned { outcome.count } else { 0 };
                return;
            }
            Said::Refused(why) => (&mut self.refused, true, (*why).to_owned()),
            Said::Undecidable(why) => (&mut self.undecidable, false, why.clone()),
        };
        *total += outcome.count;
        let (side, port, protocol) = (outcome.side, outcome.port, outcome.protocol);
        let op = outcome.op.clone().into_owned();
        let group = Group { refused, side, port, protocol, op, reason };
        if let Some(count) = self.groups.get_mut(&group) {
            count.operations += outcome.count;
        } else if self.groups.len() < GROUPS {
            let count = Count { operations: outcome.count, example: outcome.id.clone() };
            self.groups.insert(group, count);
        } else {
            self.others[usize::from(refused)] += outcome.count;
        }
    }

    /// Counts a record of an operation that was counted before.
    pub(super) fn again(&mut self) {
        self.records += 1;
    }

    /// Counts a line that is no record.
    pub(super) fn broken(&mut self, number: u64, why: &'static str) {
        self.broken += 1;
        if self.first_broken.len() < NAMED {
            self.first_broken.push((number, why));
        }
    }

    /// All operations.
    pub(super) fn operations(&self) -> u64 {
        self.allowed + self.refused + self.undecidable
    }

    /// Those that are refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Tells of broken lines on standard error.
    pub(super) fn warn(&self, log: &str) {
        if self.broken == 0 {
            return;
        }
        let lines = if self.broken == 1 { "line is" } else { "lines are" };
        let mut text = format!("{log}: {} {lines} no record and left out: ", self.broken);
        for (i, (number, why)) in self.first_broken.iter().enumerate() {
            let comma = if i > 0 { "; " } else { "" };
            let _ = write!(text, "{comma}line {number}: {why}");
        }
        if self.broken > NAMED as u64 {
            text.push_str("; …");
        }
        Message::new(text).warn();
    }

    /// The groups, refused ones first, then by how many they are.
    fn sorted(&self) -> Vec<(&Group, &Count)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by(|(a, m), (b, n)| {
            let order = |group: &Group| (group.side, group.port, group.op.clone());
            (b.refused, n.operations)
                .cmp(&(a.refused, m.operations))
                .then_with(|| order(a).cmp(&order(b)))
        });
        groups
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let groups = self.sorted();
        let largest = groups.iter().map(|(_, count)| count.operations).max().unwrap_or(0);
        let width = largest.max(self.others[0]).max(self.others[1]).to_string().len();
        for (title, refused) in [("refused", true), ("undecidable", false)] {
            let mut of_kind =
                groups.iter().filter(|(group, _)| group.refused == refused).peekable();
            if of_kind.peek().is_some() {
                let _ = writeln!(text, "{title}:");
            }
            for (group, count) in of_kind {
                let _ = writeln!(text, "  {:width$} {group}", count.operations);
            }
            let others = self.others[usize::from(refused)];
            if others > 0 {
                let _ = writeln!(text, "  {others:width$} others");
            }
        }
        let ungoverned = match self.ungoverned {
            0 => String::new(),
            n => format!(" ({n} of them where no policy governs)"),
        };
        let _ = writeln!(
            text,
            "{} operations: {} allowed{ungoverned}, {} refused, {} undecidable{}",
            self.operations(),
            self.allowed,
            self.refused,
            self.undecidable,
            share(self.undecidable, self.operations()),
        );
        text
    }

    /// For programs: an object a line.
    pub(super) fn json(&self) -> String {
        let mut text = String::new();
        for (group, count) in self.sorted() {
            let result = if group.refused { "refused" } else { "undecidable" };
            let line = json!({
                "result": result, "side": group.side, "port": group.port,
                "protocol": group.protocol, "op": group.op, "reason": group.reason,
                "count": count.operations, "example": count.example,
            });
            let _ = writeln!(text, "{line}");
        }
        let share = self.undecidable as f64 / self.operations().max(1) as f64;
        let totals = json!({"totals": {
            "operations": self.operations(), "allowed": self.allowed,
            "ungoverned": self.ungoverned, "refused": self.refused,
            "undecidable": self.undecidable, "undecidable_share": share,
            "refused_others": self.others[1], "undecidable_others": self.others[0],
            "records": self.records, "broken_lines": self.broken,
        }});
        let _ = writeln!(text, "{totals}");
        text
    }
}

/// `inbound :8080 http DELETE /carts/{int}: not_allowed`.
impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.side)?;
        match self.port {
            Some(port) => write!(f, ":{port} ")?,
            None => write!(f, "- ")?,
        }
        write!(f, "{} {}: {}", self.protocol, shown(&self.op), shown(&self.reason))
    }
}

/// What share of all the log cannot decide; what is not nothing is not shown as nothing.
fn share(part: u64, of: u64) -> String {
    let percent = match part as f64 * 100.0 / of.max(1) as f64 {
        0.0 => return String::new(),
        percent if percent < 0.1 => "less than 0.1".to_owned(),
        percent => format!("{percent:.1}"),
    };
    format!(": the log cannot decide {percent} %")
}
