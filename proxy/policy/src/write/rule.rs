//! Rules and entries as lines, and as trees for brackets.

use super::scalar::{Place, flow, is_shown, string};
use crate::file::tree::Tree;
use crate::learned::{LearnedEntry, LearnedRule};
use crate::op::{Protocol, Side};

const LEFT: &str = "Left to a person. To take an entry, remove the \"# \" before it:";
const NO_PEERS: &str = "Left to a person: too many peers to tell. Say which in the brackets, such as \
    {any: true},\nand remove the \"# \" before each line:";
const NO_ENTRIES: &str = "Left to a person: without an entry the rule admits the connection and \
    refuses every\noperation on it. To take it, remove the \"# \" before each line:";

const OTHER_PROTOCOL: &str = "Left to a person: on a port all rules have one protocol, and another \
    one was seen more\noften on this port. To take this one, remove the \"# \" before each line and \
    take the other out:";

/// The annotations of a list stand below each other, but not farther to the right than this.
const NOTES_AT: usize = 48;

/// Why the rule cannot stand as it is, for those whose place is in `rules`: it has no peers, or
/// nothing that it allows, or another protocol than more was seen of on its port.
pub(crate) fn undecided(rule: &LearnedRule, rules: &[LearnedRule]) -> Option<&'static str> {
    let incomplete = |rule: &LearnedRule| {
        if rule.peers.is_empty() {
            return Some(NO_PEERS);
        }
        (rule.protocol != Protocol::Opaque && rule.entries.is_empty()).then_some(NO_ENTRIES)
    };
    let mut seen: Vec<(Protocol, u64)> = Vec::new();
    let on_port = rules.iter().filter(|other| other.side == rule.side && other.port == rule.port);
    for other in on_port.filter(|other| incomplete(other).is_none()) {
        let operations = other.entries.iter().map(|entry| entry.evidence.operations);
        let operations = operations.fold(0, u64::saturating_add);
        match seen.iter_mut().find(|(protocol, _)| *protocol == other.protocol) {
            Some((_, sum)) => *sum = sum.saturating_add(operations),
            None => seen.push((other.protocol, operations)),
        }
    }
    // Of equals the first.
    let most = seen.iter().rev().max_by_key(|(_, operations)| *operations);
    let other = most.is_some_and(|(protocol, _)| *protocol != rule.protocol);
    incomplete(rule).or(other.then_some(OTHER_PROTOCOL))
}

/// The rule as an item of a list of lines, all of it a comment where it is left to a person, and
/// why. The dashes of its own list stand `indent` to the right of `allow`.
pub(crate) fn lines(rule: &LearnedRule, indent: usize, undecided: Option<&str>) -> Vec<String> {
    let mut out: Vec<String> = rule.notes.iter().flat_map(|note| comment(note)).collect();
    let body = body(rule, indent);
    match undecided {
        None => out.extend(body),
        Some(why) => {
            out.extend(comment(why));
            out.extend(body.iter().map(|line| commented(line)));
        }
    }
    out
}

fn body(rule: &LearnedRule, indent: usize) -> Vec<String> {
    let fields =
        head(rule).into_iter().map(|(key, value)| format!("{key}: {}", flow(&value, false)));
    let mut out: Vec<String> = fields.collect();
    if rule.protocol != Protocol::Opaque {
        out.push("allow:".to_owned());
        let list = allow(rule);
        out.extend(list.iter().map(|line| format!("{}{line}", " ".repeat(indent))));
    }
    let item = |(i, line): (usize, &String)| format!("{}{line}", if i == 0 { "- " } else { "  " });
    out.iter().enumerate().map(item).collect()
}

/// The entries, and what is left to a person as comments below them.
fn allow(rule: &LearnedRule) -> Vec<String> {
    let all = rule.entries.iter().chain(rule.left.iter().map(|(entry, _)| entry));
    let width = all.map(|entry| item(entry).chars().count()).max().unwrap_or(0).min(NOTES_AT);
    let mut out: Vec<String> =
        rule.entries.iter().flat_map(|entry| entry_lines(entry, "", width)).collect();
    if !rule.left.is_empty() {
        out.extend(comment(LEFT));
    }
    for (entry, why) in &rule.left {
        // The "# " before it stands for two columns.
        out.extend(entry_lines(entry, why, width.saturating_sub(2)).iter().map(|line| {
            match line.starts_with('#') {
                true => line.clone(),
                false => commented(line),
            }
        }));
    }
    out
}

/// An entry as an item of a list of lines, annotated; the annotation begins at `width` or later.
pub(crate) fn entry_lines(entry: &LearnedEntry, why: &str, width: usize) -> Vec<String> {
    let mut out: Vec<String> = entry.evidence.steps.iter().flat_map(|step| comment(step)).collect();
    let item = item(entry);
    out.push(match annotation(entry, why) {
        Some(words) => format!("{item:width$}  # {words}"),
        None => item,
    });
    out
}

/// What stands behind an entry.
pub(crate) fn annotation(entry: &LearnedEntry, why: &str) -> Option<String> {
    let why = one_line(why);
    match (entry.evidence.is_none(), why.is_empty()) {
        (true, true) => None,
        (true, false) => Some(why),
        (false, true) => Some(entry.evidence.to_string()),
        (false, false) => Some(format!("{}: {why}", entry.evidence)),
    }
}

fn item(entry: &LearnedEntry) -> String {
    match entry_tree(entry) {
        Tree::Text(op) => format!("- {}", string(&op, Place::Block)),
        tree => format!("- {}", flow(&tree, false)),
    }
}

/// The entry: a string, or a mapping where it has options.
pub(crate) fn entry_tree(entry: &LearnedEntry) -> Tree {
    let list = |words: Vec<&str>| Tree::List(words.into_iter().map(Tree::text).collect());
    let mut fields = vec![("op".to_owned(), Tree::text(&entry.op))];
    if entry.upgrade {
        fields.push(("upgrade".to_owned(), Tree::text("websocket")));
    }
    if !entry.permit.is_empty() {
        fields.push(("permit".to_owned(), list(entry.permit.clone())));
    }
    if !entry.override_headers.is_empty() {
        let names = entry.override_headers.iter().map(String::as_str).collect();
        fields.push(("overrideHeaders".to_owned(), list(names)));
    }
    if fields.len() == 1 { Tree::text(&entry.op) } else { Tree::Map(fields) }
}

/// The fields of a rule but for its entries.
fn head(rule: &LearnedRule) -> Vec<(String, Tree)> {
    let peers = match rule.side {
        Side::Inbound => "from",
        Side::Outbound => "to",
    };
    let cidr = |net: &ipnet::IpNet| {
        Tree::Map(vec![("cidr".to_owned(), Tree::text(net.trunc().to_string()))])
    };
    let mut fields = vec![
        (peers.to_owned(), Tree::List(rule.peers.iter().map(cidr).collect())),
        ("ports".to_owned(), Tree::List(vec![Tree::Int(rule.port.into())])),
        ("protocol".to_owned(), Tree::text(rule.protocol.as_str())),
    ];
    if rule.protocol == Protocol::Redis && !rule.databases.is_empty() {
        let numbers = rule.databases.iter().map(|n| Tree::Int((*n).into())).collect();
        fields.push(("databases".to_owned(), Tree::List(numbers)));
    }
    fields
}

/// The rule as a tree.
pub(crate) fn rule_tree(rule: &LearnedRule) -> Tree {
    let mut fields = head(rule);
    if rule.protocol != Protocol::Opaque {
        let entries = rule.entries.iter().map(entry_tree).collect();
        fields.push(("allow".to_owned(), Tree::List(entries)));
    }
    Tree::Map(fields)
}

/// A text as comment lines.
pub(crate) fn comment(text: &str) -> Vec<String> {
    text.lines().map(|line| commented(&one_line(line))).collect()
}

/// The line as a comment.
pub(crate) fn commented(line: &str) -> String {
    format!("# {line}").trim_end().to_owned()
}

/// A text that stays within its comment.
fn one_line(text: &str) -> String {
    let shown = |c: char| if is_shown(c) { c.to_string() } else { c.escape_default().to_string() };
    let words: Vec<&str> = text.lines().map(str::trim).collect();
    words.join(" ").trim().chars().map(shown).collect()
}
