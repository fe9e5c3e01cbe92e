//! Whether the kernel's table does what the plan's does.

use std::fmt;

use super::expr;
use super::kernel::{FoundChain, FoundTable};
use super::table::{Chain, NAME, Table};

/// A way in which the kernel's rules are not the plan's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift(String);

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What differs, by meaning: comments, counts, handles and the order of attributes do not matter.
/// Nothing is the answer if the rules are the same.
pub(super) fn compare(expected: &Table, found: &[FoundTable]) -> Vec<Drift> {
    let family = expected.family;
    let mut drift = Vec::new();
    for other in found.iter().filter(|table| table.family != family) {
        let text = format!("there is another table `{} {NAME}`", other.family.name());
        drift.push(Drift(text));
    }
    match found.iter().find(|table| table.family == family) {
        None => drift.push(Drift(format!("there is no table `{} {NAME}`", family.name()))),
        Some(table) => chains(expected, table, &mut drift),
    }
    drift
}

fn chains(expected: &Table, found: &FoundTable, drift: &mut Vec<Drift>) {
    if found.dormant {
        drift.push(Drift("the table is dormant: the kernel does not run its rules".to_owned()));
    }
    for chain in &expected.chains {
        match found.chains.iter().find(|this| this.name == chain.name) {
            None => drift.push(Drift(format!("the chain `{}` is missing", chain.name))),
            Some(this) => rules(expected, chain, this, drift),
        }
    }
    let known = |name: &str| expected.chains.iter().any(|chain| chain.name == name);
    for chain in found.chains.iter().filter(|chain| !known(&chain.name)) {
        drift.push(Drift(format!("there is a further chain `{}`", chain.name)));
    }
}

fn rules(table: &Table, expected: &Chain, found: &FoundChain, drift: &mut Vec<Drift>) {
    let name = expected.name;
    let same = match (expected.base, &found.base) {
        (None, None) => true,
        (Some(base), Some(this)) => this.is(base),
        _ => false,
    };
    if !same {
        let wanted = expected.base.map_or("none".to_owned(), |base| format!("`{base}`"));
        drift.push(Drift(format!("the chain `{name}` has another hook than {wanted}")));
    }
    let wanted: Vec<_> =
        expected.rules.iter().map(|rule| expr::steps(rule, table.family)).collect();
    let there: Vec<_> = found.rules.iter().map(|rule| &rule.steps).collect();
    for step in difference(wanted.len(), there.len(), |i, j| wanted[i] == *there[j]) {
        drift.push(Drift(match step {
            Step::Missing(index) => {
                let text = expected.rules[index].text(table.family);
                format!("the chain `{name}` misses rule {}: `{text}`", index + 1)
            }
            Step::Extra(index) => {
                let handle = found.rules[index].handle;
                format!(
                    "the chain `{name}` has a further rule: handle {handle} in \
                     `nft -a list chain {} {NAME} {name}`",
                    table.family.name()
                )
            }
        }));
    }
}

/// One difference between two lists, by its index in the list that has it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Missing(usize),
    Extra(usize),
}

/// The differences between the longest common part of two lists and each of them, in order.
///
/// What both begin and end with is set aside first: lists of thousands of skips that differ in a
/// few then cost little.
fn difference(wanted: usize, there: usize, same: impl Fn(usize, usize) -> bool) -> Vec<Step> {
    let least = wanted.min(there);
    let begin = (0..least).take_while(|&i| same(i, i)).count();
    let end = (1..=least - begin).take_while(|&i| same(wanted - i, there - i)).count();
    let middle = |i, j| same(begin + i, begin + j);
    let mut steps = middle_difference(wanted - begin - end, there - begin - end, middle);
    for Step::Missing(index) | Step::Extra(index) in &mut steps {
        *index += begin;
    }
    steps
}

/// The same of what is left between them, in time and memory of the product of their lengths.
fn middle_difference(
    wanted: usize,
    there: usize,
    same: impl Fn(usize, usize) -> bool,
) -> Vec<Step> {
    // common[i][j]: how long the common part of what begins at i and at j is.
    let mut common = vec![vec![0_usize; there + 1]; wanted + 1];
    for i in (0..wanted).rev() {
        for j in (0..there).rev() {
            common[i][j] = if same(i, j) {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    while i < wanted || j < there {
        if i < wanted && j < there && same(i, j) {
            (i, j) = (i + 1, j + 1);
        } else if j == there || (i < wanted && common[i + 1][j] >= common[i][j + 1]) {
            steps.push(Step::Missing(i));
            i += 1;
        } else {
            steps.push(Step::Extra(j));
            j += 1;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(wanted: &str, there: &str) -> Vec<Step> {
        let (a, b) = (wanted.as_bytes(), there.as_bytes());
        difference(a.len(), b.len(), |i, j| a[i] == b[j])
    }

    #[test]
    fn lists_differ_by_what_is_missing_and_what_is_extra() {
        assert_eq!(differ("abc", "abc"), []);
        assert_eq!(differ("abc", "ac"), [Step::Missing(1)]);
        assert_eq!(differ("ac", "abc"), [Step::Extra(1)]);
        assert_eq!(differ("", "a"), [Step::Extra(0)]);
        assert_eq!(differ("a", ""), [Step::Missing(0)]);
        assert_eq!(differ("abc", "axc"), [Step::Missing(1), Step::Extra(1)]);
        assert_eq!(differ("aaa", "aa"), [Step::Missing(2)]);
        assert_eq!(differ("aa", "aaa"), [Step::Extra(2)]);
        assert_eq!(differ("abcde", "abxcde"), [Step::Extra(2)]);
        assert_eq!(differ("abcdcd", "abcd"), [Step::Missing(4), Step::Missing(5)]);
        // Another order is another meaning.
        assert_eq!(differ("ab", "ba").len(), 2);
    }
}
