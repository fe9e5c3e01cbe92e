//! Putting items into the lists of a file, however they are written, by insertions only.

use super::source::{Source, column, field, is_flow, length, own_fields};
use crate::file::tree::Tree;
use crate::file::yaml::{Node, Value};
use crate::write::scalar::{Place, flow, string};

/// A text to be put in, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    at: usize,
    text: String,
}

/// An item of a list, in both ways of writing.
pub(super) struct Item {
    /// As lines, the first with its dash.
    pub(super) lines: Vec<String>,
    /// What it says, for brackets.
    pub(super) tree: Tree,
    /// Comment lines before it where it stands within brackets.
    pub(super) before: Vec<String>,
    /// The comment behind it where it stands within brackets, without its `#`.
    pub(super) note: Option<String>,
}

/// The list to put items into: a field, perhaps absent, of the last of the nodes.
pub(super) struct Target<'n> {
    /// The document, and what leads to the mapping with the field.
    pub(super) path: Vec<&'n Node>,
    pub(super) name: &'static str,
    /// The field that it is put before where it is absent.
    pub(super) before: &'static str,
    /// How far the dashes of new lists stand to the right.
    pub(super) indent: usize,
}

/// Applies insertions, each at an offset of the text before.
pub(super) fn apply(text: &str, mut insertions: Vec<Insertion>) -> String {
    insertions.sort_by_key(|insertion| insertion.at);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for Insertion { at, text: new } in insertions {
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str(&new);
        done = at;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// The insertions that put each item before the item of its index. None where the list is
/// written in a way that this cannot edit.
pub(super) fn insert(
    source: &Source<'_>,
    target: &Target<'_>,
    items: &[(usize, Item)],
) -> Option<Vec<Insertion>> {
    let map = target.path.last()?;
    let found = field(map, target.name);
    let nodes = target.path.iter().copied().chain(found.map(|(_, value)| value));
    let brackets = nodes.into_iter().find(|node| is_flow(node));
    let json = target.path.first().is_some_and(|root| is_flow(root));
    let writer = Writer { source, target, items, brackets, json };
    match found {
        None if brackets.is_some() => writer.new_flow_field(map),
        None => writer.new_block_field(map),
        Some((key, value)) => match &value.value {
            Value::List(old) if is_flow(value) => writer.flow_list(column(key), value, old),
            Value::List(old) => writer.block_list(old),
            Value::Null if length(value) == 0 && brackets.is_some() => {
                let at = source.nothing(value)?;
                // In brackets a field may be without its colon.
                let colon = source.text.get(..at)?.ends_with(':');
                writer.inline(at, if colon { " [" } else { ": [" }, "]")
            }
            Value::Null if length(value) == 0 => {
                let at = source.after(source.nothing(value)?, usize::MAX)?;
                Some(vec![writer.lines_at(at, column(key) + target.indent, writer.all_lines())])
            }
            _ => None,
        },
    }
}

struct Writer<'a> {
    source: &'a Source<'a>,
    target: &'a Target<'a>,
    items: &'a [(usize, Item)],
    /// The outermost node in brackets on the way.
    brackets: Option<&'a Node>,
    /// The document may be read as JSON: no comments, all quoted.
    json: bool,
}

impl Writer<'_> {
    fn flow(&self, item: &Item) -> String {
        flow(&item.tree, self.json)
    }

    fn all_lines(&self) -> Vec<String> {
        self.items.iter().flat_map(|(_, item)| item.lines.iter().cloned()).collect()
    }

    /// The items that go before the old one of this index.
    fn items_at(&self, index: usize) -> Vec<&Item> {
        self.items.iter().filter(|(at, _)| *at == index).map(|(_, item)| item).collect()
    }

    /// Whole lines at the beginning of a line, or at the end of a text whose last line has none.
    fn lines_at(&self, at: usize, column: usize, lines: Vec<String>) -> Insertion {
        let newline = self.source.newline;
        let text: String =
            lines.iter().map(|line| format!("{:column$}{line}{newline}", "")).collect();
        let open = at == self.source.text.len() && !self.source.text.is_empty();
        let text = match text.strip_suffix(newline) {
            Some(text) if open && !self.source.text.ends_with('\n') => format!("{newline}{text}"),
            _ => text,
        };
        Insertion { at, text }
    }

    fn block_list(&self, old: &[Node]) -> Option<Vec<Insertion>> {
        let (first, indent) = self.source.dash(old.first()?)?;
        let column = indent.len();
        let mut out = Vec::new();
        for index in 0..=old.len() {
            let items = self.items_at(index);
            if items.is_empty() {
                continue;
            }
            // Below the item before, so that comments above the next one stay with it.
            let at = match index.checked_sub(1).and_then(|before| old.get(before)) {
                Some(before) => self.source.after(self.source.end(before)?, column)?,
                None => self.source.comments_above(first),
            };
            let lines = items.into_iter().flat_map(|item| item.lines.iter().cloned()).collect();
            out.push(self.lines_at(at, column, lines));
        }
        Some(out)
    }

    fn new_block_field(&self, map: &Node) -> Option<Vec<Insertion>> {
        let fields = own_fields(map);
        let column = column(&fields.first()?.0);
        let last = fields.iter().filter(|(key, _)| key.value != self.target.before);
        let end = last.map(|(_, value)| self.source.end(value)).max()??;
        let at = self.source.after(end, column)?;
        let indent = self.target.indent;
        let mut lines = vec![format!("{}:", self.target.name)];
        lines.extend(self.all_lines().iter().map(|line| format!("{:indent$}{line}", "")));
        Some(vec![self.lines_at(at, column, lines)])
    }

    fn new_flow_field(&self, map: &Node) -> Option<Vec<Insertion>> {
        let fields = own_fields(map);
        let place = if self.json { Place::Json } else { Place::Flow };
        let name = string(self.target.name, place);
        match fields.iter().map(|(_, value)| self.source.end(value)).max() {
            Some(end) => self.inline(end?, &format!(", {name}: ["), "]"),
            None if is_flow(map) => {
                self.inline(self.source.start(map)? + 1, &format!("{name}: ["), "]")
            }
            None => None,
        }
    }

    /// All items on the line, and what is to be said of them above it.
    fn inline(&self, at: usize, open: &str, close: &str) -> Option<Vec<Insertion>> {
        let items: Vec<_> = self.items.iter().map(|(_, item)| item).collect();
        let flow: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
        let text = format!("{open}{}{close}", flow.join(", "));
        let mut out: Vec<_> = self.above(&items)?.into_iter().collect();
        out.push(Insertion { at, text });
        Some(out)
    }

    /// Comment lines above the line on which the outermost brackets begin.
    fn above(&self, items: &[&Item]) -> Option<Option<Insertion>> {
        let mut lines = Vec::new();
        for item in items.iter().filter(|_| !self.json) {
            lines.extend(item.before.iter().cloned());
            lines.extend(item.note.iter().map(|note| format!("# {}: {note}", self.flow(item))));
        }
        if lines.is_empty() {
            return Some(None);
        }
        let at = self.source.start(self.brackets?)?;
        let column = self.source.indent(at).len();
        Some(Some(self.lines_at(self.source.line_start(at), column, lines)))
    }

    /// The item on a line of its own within brackets.
    fn own_line(&self, item: &Item, comma: bool) -> Vec<String> {
        let comma = if comma { "," } else { "" };
        if self.json {
            return vec![format!("{}{comma}", self.flow(item))];
        }
        let note = item.note.iter().map(|note| format!("  # {note}"));
        let line = format!("{}{comma}{}", self.flow(item), note.collect::<String>());
        item.before.iter().cloned().chain([line]).collect()
    }

    fn flow_list(&self, column: usize, list: &Node, old: &[Node]) -> Option<Vec<Insertion>> {
        let start = self.source.start(list)?;
        if old.is_empty() {
            let outermost =
                self.brackets.is_some_and(|flow| self.source.start(flow) == Some(start));
            return match self.source.rest_of_line(start + 1).starts_with(']') && outermost {
                true => Some(vec![self.opened(start + 1, column)]),
                false => self.inline(start + 1, "", ""),
            };
        }
        let mut out = Vec::new();
        for index in 0..=old.len() {
            let items = self.items_at(index);
            if !items.is_empty() {
                out.extend(self.beside_in_flow(start, old, index, &items)?);
            }
        }
        Some(out)
    }

    /// An empty list opened up, with a line for each item.
    fn opened(&self, at: usize, column: usize) -> Insertion {
        let (newline, column) = (self.source.newline, column + 2);
        let lines = self.items.iter().flat_map(|(_, item)| self.own_line(item, true));
        let lines: String = lines.map(|line| format!("{newline}{:column$}{line}", "")).collect();
        Insertion { at, text: format!("{lines}{newline}{:column$}", "") }
    }

    /// Items within brackets, after `index` old ones: on lines of their own if the old one beside
    /// is on one, else on its line.
    fn beside_in_flow(
        &self,
        start: usize,
        old: &[Node],
        index: usize,
        items: &[&Item],
    ) -> Option<Vec<Insertion>> {
        let beside = old.get(index.saturating_sub(1))?;
        let (from, end) = (self.source.start(beside)?, self.source.end(beside)?);
        let line = self.source.line_start(from);
        let alone = self.source.text.get(line..from)?.trim().is_empty() && line > start;
        let rest = self.source.rest_of_line(end);
        let comma = rest.starts_with(',');
        let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        let alone = alone && (rest.is_empty() || rest.starts_with('#'));
        let last = index == old.len();
        if !alone || !comma && !last {
            let flow: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
            let (at, text) = match index {
                0 => (start + 1, format!("{}, ", flow.join(", "))),
                _ => (end, format!(", {}", flow.join(", "))),
            };
            return Some(self.above(items)?.into_iter().chain([Insertion { at, text }]).collect());
        }
        let column = self.source.indent(from).len();
        let lines = items
            .iter()
            .enumerate()
            .flat_map(|(i, item)| self.own_line(item, index == 0 || comma || i + 1 < items.len()));
        let lines = lines.collect();
        let mut out = Vec::new();
        if index == 0 {
            out.push(self.lines_at(self.source.comments_above(line), column, lines));
            return Some(out);
        }
        if !comma {
            out.push(Insertion { at: end, text: ",".to_owned() });
        }
        out.push(self.lines_at(self.source.line_end(end), column, lines));
        Some(out)
    }
}
