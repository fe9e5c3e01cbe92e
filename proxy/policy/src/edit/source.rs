//! Where things stand in the text of a file: what the YAML reader's places leave open.

use serde_saphyr::Spanned;

use crate::file::yaml::{Node, Value};

/// The text of a file.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    /// How its lines end.
    pub(super) newline: &'static str,
}

/// The fields of a mapping that stand in it themselves, not by a merge key.
pub(super) fn own_fields(map: &Node) -> Vec<&(Spanned<String>, Node)> {
    let Value::Map(fields) = &map.value else { return Vec::new() };
    fields.iter().filter(|(key, value)| key.referenced == key.defined && is_own(value)).collect()
}

/// The field of that name.
pub(super) fn field<'n>(map: &'n Node, name: &str) -> Option<&'n (Spanned<String>, Node)> {
    let Value::Map(fields) = &map.value else { return None };
    fields.iter().find(|(key, _)| key.value == name)
}

/// The node stands where it is used: it is no alias.
pub(super) fn is_own(node: &Node) -> bool {
    node.referenced == node.defined
}

/// The node is in brackets. Of a node in lines the place has no length.
pub(super) fn is_flow(node: &Node) -> bool {
    matches!(node.value, Value::List(_) | Value::Map(_)) && length(node) != 0
}

/// The bytes of a scalar or alias, or of the bracket that opens the node.
pub(super) fn length(node: &Node) -> usize {
    let len = node.referenced.span().byte_len();
    len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0)
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let first = text.find('\n').and_then(|end| text.get(..end));
        let newline = if first.is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" };
        Self { text, newline }
    }

    /// The text from an offset on.
    pub(super) fn from(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    /// Where the line begins that `at` is in.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// Where the line after that of `at` begins, or the text ends.
    pub(super) fn line_end(&self, at: usize) -> usize {
        self.from(at).find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// The rest of the line, without the blanks around it.
    pub(super) fn rest_of_line(&self, at: usize) -> &'a str {
        self.text.get(at..self.line_end(at)).unwrap_or_default().trim()
    }

    /// The spaces that the line of `at` begins with.
    pub(super) fn indent(&self, at: usize) -> &'a str {
        let line = self.from(self.line_start(at));
        line.get(..line.len() - line.trim_start_matches(' ').len()).unwrap_or_default()
    }

    /// Where a node begins.
    pub(super) fn start(&self, node: &Node) -> Option<usize> {
        offset(node.referenced)
    }

    /// Where a node ends.
    pub(super) fn end(&self, node: &Node) -> Option<usize> {
        let start = self.start(node)?;
        let last = match &node.value {
            _ if !is_own(node) => return Some(start + length(node)),
            Value::List(items) => items.last().map(|item| self.end(item)),
            Value::Map(_) => own_fields(node)
                .into_iter()
                .map(|(key, value)| self.end(value).max(offset(key.referenced)))
                .max(),
            Value::Null if length(node) == 0 => return self.nothing(node),
            _ => {
                // The place of a text in lines goes on to what follows it.
                let source = self.text.get(start..start + length(node))?;
                return Some(start + source.trim_end().len());
            }
        };
        match (is_flow(node), last) {
            (false, last) => last?,
            (true, None) => self.close(start + 1),
            (true, Some(last)) => self.close(last?),
        }
    }

    /// Where the value would stand that a field has not: its place is before the colon.
    pub(super) fn nothing(&self, node: &Node) -> Option<usize> {
        let start = self.start(node)?;
        let rest = self.from(start);
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        Some(if rest.get(blanks..)?.starts_with(':') { start + blanks + 1 } else { start })
    }

    /// Where the brackets end whose last part ends at `at`: only blanks, comments and a comma
    /// may stand before.
    fn close(&self, mut at: usize) -> Option<usize> {
        loop {
            match self.from(at).chars().next()? {
                ']' | '}' => return Some(at + 1),
                '#' => at = self.line_end(at),
                ',' | ' ' | '\t' | '\r' | '\n' => at += 1,
                _ => return None,
            }
        }
    }

    /// Where the line of an item's dash begins, and what stands before the dash.
    pub(super) fn dash(&self, item: &Node) -> Option<(usize, &'a str)> {
        let item = self.start(item)?;
        let mut start = self.line_start(item);
        loop {
            let indent = self.indent(start);
            let dash = start + indent.len();
            let after = self.from(dash).strip_prefix('-');
            let blank =
                |after: &str| after.is_empty() || after.starts_with([' ', '\t', '\r', '\n']);
            // The item itself may begin with a dash that is none.
            if after.is_some_and(blank) && dash < item {
                return Some((start, indent));
            }
            start = self.line_start(start.checked_sub(1)?);
        }
    }

    /// Where the lines end that belong to what ends at `end`: its own, and comments below it that
    /// stand farther to the right than `column`. None where something else follows on its line.
    pub(super) fn after(&self, end: usize, column: usize) -> Option<usize> {
        let rest = self.rest_of_line(end);
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let mut after = self.line_end(end);
        let mut at = after;
        while at < self.text.len() {
            let rest = self.rest_of_line(at);
            if rest.starts_with('#') && self.indent(at).len() > column {
                after = self.line_end(at);
            } else if !rest.is_empty() {
                break;
            }
            at = self.line_end(at);
        }
        Some(after)
    }

    /// Where the comment lines begin that stand directly above the line at `start`.
    pub(super) fn comments_above(&self, mut start: usize) -> usize {
        while let Some(before) = start.checked_sub(1) {
            let line = self.line_start(before);
            if !self.rest_of_line(line).starts_with('#') {
                break;
            }
            start = line;
        }
        start
    }

    /// How far the dashes of lists stand to the right of their fields: as in the first list.
    pub(super) fn list_indent(&self, node: &Node) -> Option<usize> {
        let Value::Map(_) = node.value else {
            let Value::List(items) = &node.value else { return None };
            return items.iter().find_map(|item| self.list_indent(item));
        };
        own_fields(node).into_iter().find_map(|(key, value)| match &value.value {
            Value::List(items) if !is_flow(value) => {
                self.dash(items.first()?)?.1.len().checked_sub(column(key))
            }
            _ => self.list_indent(value),
        })
    }
}

/// How many characters stand before a field on its line.
pub(super) fn column(key: &Spanned<String>) -> usize {
    usize::try_from(key.referenced.column()).unwrap_or(usize::MAX).saturating_sub(1)
}

/// A place as an offset in bytes.
pub(super) fn offset(location: serde_saphyr::Location) -> Option<usize> {
    location.span().byte_offset().and_then(|at| usize::try_from(at).ok())
}
