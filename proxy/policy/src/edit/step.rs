//! Adding one rule's worth to a file.

use super::insert::{Item, Target, apply, insert};
use super::source::{Source, field, is_own};
use super::{Added, EditError, Edited, LeftOut, admits_connections, place};
use crate::error::{Error, Errors, Origin};
use crate::file::tree::Tree;
use crate::file::yaml::{self, Node, Value};
use crate::learned::{LearnedEntry, LearnedRule};
use crate::model::{Rule, TrafficPolicy};
use crate::write::rule as write;
use crate::write::scalar::flow;

/// Adds a rule, or its entries to a rule that is there, to the policy of that index, which is
/// what the text says of it. Answers whether the text has changed.
pub(super) fn add(
    file_name: &str,
    (index, policy): (usize, &TrafficPolicy),
    rule: &LearnedRule,
    old_rules: usize,
    edited: &mut Edited,
) -> Result<bool, EditError> {
    let (new, fitting) = missing(policy, rule, old_rules, edited)?;
    if new.entries.is_empty() && !(admits_connections(rule) && fitting.is_none()) {
        return Ok(false);
    }
    if fitting.is_none() && rule.peers.is_empty() {
        edited.left.push(LeftOut {
            side: rule.side,
            port: rule.port,
            protocol: rule.protocol,
            entries: new.entries.iter().map(|entry| entry.op.clone()).collect(),
            why: "too many peers to tell: write a rule with the peers that may, and add again",
        });
        return Ok(false);
    }
    let documents = yaml::documents(&file_name.into(), &edited.text)
        .map_err(|error| EditError::File(Errors(vec![error])))?;
    let step = Step { file_name, text: &edited.text, documents: &documents, index, policy };
    let (at, new_text) = match fitting {
        Some(at) => (at, step.to_rule(at, &new)?),
        None => step.new_rule(&new)?,
    };
    edited.text = new_text;
    let added = |entry| Added {
        side: rule.side,
        port: rule.port,
        protocol: rule.protocol,
        rule: format!("spec.{}[{at}]", rule.side),
        new_rule: at >= old_rules,
        entry,
    };
    if admits_connections(rule) {
        edited.added.push(added(None));
    }
    edited.added.extend(new.entries.into_iter().map(|entry| added(Some(entry.op))));
    Ok(true)
}

/// The rule with the entries only that the policy does not allow, and the place of the rule that
/// they go to.
fn missing(
    policy: &TrafficPolicy,
    rule: &LearnedRule,
    old_rules: usize,
    edited: &mut Edited,
) -> Result<(LearnedRule, Option<usize>), EditError> {
    let rules = policy.rules(rule.side).unwrap_or_default();
    let fits = |(index, old): &(usize, &Rule)| {
        place::covers(old, rule) && (*index < old_rules || place::same_peers(old, rule))
    };
    let covering: Vec<(usize, &Rule)> = rules.iter().enumerate().filter(fits).collect();
    let best = covering.iter().min_by_key(|(_, old)| place::breadth(old, rule));
    let mut new = rule.clone();
    new.entries.clear();
    if admits_connections(rule) {
        edited.already += usize::from(best.is_some());
        return Ok((new, best.map(|(index, _)| *index)));
    }
    let rules: Vec<&Rule> = covering.iter().map(|(_, old)| *old).collect();
    for learned in &rule.entries {
        let entry = place::entry(learned, rule.protocol)?;
        if place::allows(&rules, &entry) {
            edited.already += 1;
        } else if !new.entries.contains(learned) {
            new.entries.push(learned.clone());
        }
    }
    Ok((new, best.map(|(index, _)| *index)))
}

struct Step<'a> {
    file_name: &'a str,
    text: &'a str,
    documents: &'a [Node],
    index: usize,
    policy: &'a TrafficPolicy,
}

impl Step<'_> {
    /// Adds the entries to the rule, in order if its entries are.
    fn to_rule(&self, at: usize, new: &LearnedRule) -> Result<String, EditError> {
        let rules = self.policy.rules(new.side).unwrap_or_default();
        let old: Vec<&str> = rules[at].allow.iter().map(|entry| entry.text.as_str()).collect();
        let mut entries: Vec<&LearnedEntry> = new.entries.iter().collect();
        if old.is_sorted() {
            entries.sort_by(|a, b| a.op.cmp(&b.op));
        }
        let place = |entry: &LearnedEntry| match old.is_sorted() {
            true => old.partition_point(|old| *old <= entry.op.as_str()),
            false => old.len(),
        };
        let items: Vec<_> = entries.iter().map(|entry| (place(entry), entry_item(entry))).collect();
        let document = self.documents.get(self.index).ok_or_else(|| self.lost())?;
        let mut path = vec![document];
        path.push(self.child(document, "spec")?);
        let direction = self.child(path[1], new.side.as_str())?;
        path.push(direction);
        path.push(match &direction.value {
            Value::List(rules) => rules.get(at).ok_or_else(|| self.lost())?,
            _ => return Err(self.lost()),
        });
        let target = Target { path, name: "allow", before: "deny", indent: 0 };
        self.insert(document, target, &items, (new.side.as_str(), Some(at)))
    }

    /// Adds the rule at the end of its direction. Answers its index too.
    fn new_rule(&self, new: &LearnedRule) -> Result<(usize, String), EditError> {
        let at = self.policy.rules(new.side).map_or(0, <[_]>::len);
        let document = self.documents.get(self.index).ok_or_else(|| self.lost())?;
        let path = vec![document, self.child(document, "spec")?];
        let indent = Source::new(self.text).list_indent(document).unwrap_or(0);
        let items = [(at, rule_item(new, indent))];
        let target = Target { path, name: new.side.as_str(), before: "", indent: 0 };
        let text = self.insert(document, target, &items, (new.side.as_str(), None))?;
        Ok((at, text))
    }

    fn insert(
        &self,
        document: &Node,
        mut target: Target<'_>,
        items: &[(usize, Item)],
        place: (&str, Option<usize>),
    ) -> Result<String, EditError> {
        let source = Source::new(self.text);
        target.indent = source.list_indent(document).unwrap_or(0);
        let value = target.path.last().and_then(|map| field(map, target.name));
        let own = target.path.iter().copied().chain(value.map(|(_, value)| value));
        for node in own {
            self.not_shared(document, node)?;
        }
        let at = value.map_or(target.path.last().copied(), |(_, value)| Some(value));
        let insertions = insert(&source, &target, items)
            .ok_or_else(|| self.unedited(at.unwrap_or(document), target.name))?;
        let text = apply(self.text, insertions);
        self.verify(&text, items, place)?;
        Ok(text)
    }

    /// An alias, or what an alias elsewhere stands for, is not this rule's alone.
    fn not_shared(&self, document: &Node, node: &Node) -> Result<(), EditError> {
        let elsewhere = if is_own(node) { alias_of(document, node) } else { Some(node) };
        let Some(alias) = elsewhere else { return Ok(()) };
        Err(EditError::Unedited(Errors(vec![Error {
            at: self.origin(alias),
            field: String::new(),
            found: format!(
                "an alias of what stands at {}: adding there would add to both",
                self.origin_of(node.defined)
            ),
            expected: "it written out in both places, or the entries added by hand".to_owned(),
        }])))
    }

    fn unedited(&self, node: &Node, name: &str) -> EditError {
        EditError::Unedited(Errors(vec![Error {
            at: self.origin(node),
            field: name.to_owned(),
            found: "a way of writing that weir does not add to".to_owned(),
            expected: "a list of lines or in brackets; or add the entries by hand".to_owned(),
        }]))
    }

    /// The new text says what the old one says, and the additions, and nothing else.
    fn verify(
        &self,
        text: &str,
        items: &[(usize, Item)],
        (side, rule): (&str, Option<usize>),
    ) -> Result<(), EditError> {
        let mut expected: Vec<Tree> = self.documents.iter().map(Tree::from).collect();
        let spec = expected.get_mut(self.index).and_then(|document| document.get_mut("spec"));
        let rules = spec.and_then(|spec| spec.list_mut(side));
        let list = match rule {
            None => rules,
            Some(at) => rules.and_then(|rules| rules.get_mut(at)?.list_mut("allow")),
        };
        let list = list.ok_or_else(|| self.lost())?;
        // From the last on, so that the places of the others stay.
        for (at, item) in items.iter().rev() {
            list.insert(*at, item.tree.clone());
        }
        let found = yaml::documents(&self.file_name.into(), text)
            .map_err(|error| EditError::broken(self.file_name, &error))?;
        let found = found.iter().map(|node| Tree::from(node).normal());
        if !found.eq(expected.into_iter().map(Tree::normal)) {
            return Err(EditError::broken(self.file_name, &"the file would say something else"));
        }
        Ok(())
    }

    fn child<'n>(&self, map: &'n Node, name: &str) -> Result<&'n Node, EditError> {
        field(map, name).map(|(_, value)| value).ok_or_else(|| self.lost())
    }

    /// What the policy has is not in the tree that it was read from.
    fn lost(&self) -> EditError {
        EditError::broken(self.file_name, &"the place to add to was not found")
    }

    fn origin(&self, node: &Node) -> Origin {
        self.origin_of(node.referenced)
    }

    fn origin_of(&self, location: serde_saphyr::Location) -> Origin {
        let place = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        Origin {
            file: self.file_name.into(),
            line: place(location.line()),
            column: place(location.column()),
        }
    }
}

/// An alias of the node somewhere below `tree`.
fn alias_of<'n>(tree: &'n Node, node: &Node) -> Option<&'n Node> {
    let same_kind = std::mem::discriminant(&tree.value) == std::mem::discriminant(&node.value);
    if !is_own(tree) && tree.defined == node.defined && same_kind {
        return Some(tree);
    }
    match &tree.value {
        Value::List(items) => items.iter().find_map(|item| alias_of(item, node)),
        Value::Map(fields) => fields.iter().find_map(|(_, value)| alias_of(value, node)),
        _ => None,
    }
}

fn entry_item(entry: &LearnedEntry) -> Item {
    Item {
        lines: write::entry_lines(entry, "", 0),
        before: entry.evidence.steps.iter().flat_map(|step| write::comment(step)).collect(),
        note: write::annotation(entry, ""),
        tree: write::entry_tree(entry),
    }
}

fn rule_item(rule: &LearnedRule, indent: usize) -> Item {
    let notes = rule.notes.iter().flat_map(|note| write::comment(note));
    let entries = rule.entries.iter().flat_map(|entry| {
        let op = flow(&write::entry_tree(entry), false);
        let note = write::annotation(entry, "").map(|note| format!("# {op}: {note}"));
        let steps = entry.evidence.steps.iter().flat_map(|step| write::comment(step));
        steps.chain(note).collect::<Vec<_>>()
    });
    Item {
        lines: write::lines(rule, indent, None),
        before: notes.chain(entries).collect(),
        note: None,
        tree: write::rule_tree(rule),
    }
}
