//! Reading fields from the tree, and collecting everything that is wrong with them.

use std::sync::Arc;

use super::yaml::{Node, Value};
use crate::error::{Error, Errors, Origin, Warning, nearest};
use crate::model::TrafficPolicy;

/// What this build says of itself when it refuses what a later one will enforce.
pub(super) const UNSUPPORTED: &str = concat!(
    "nothing: not supported by weir ",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// Collects errors and warnings while reading one file.
pub(super) struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    errors: Vec<Error>,
    warnings: Vec<Warning>,
}

/// A mapping whose fields have been checked by name.
pub(super) struct Object<'a> {
    pub(super) node: &'a Node,
    fields: &'a [(serde_saphyr::Spanned<String>, Node)],
}

impl<'a> Object<'a> {
    /// The field's value; none where absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let (_, node) = self.fields.iter().find(|(key, _)| key.value == name)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The field's value, absent only where the field is.
    pub(super) fn get_even_null(&self, name: &str) -> Option<&'a Node> {
        self.fields.iter().find(|(key, _)| key.value == name).map(|(_, node)| node)
    }

    /// The names of the fields that are there.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.iter().map(|(key, _)| key.value.as_str())
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: Arc<str>, text: &'a str) -> Self {
        Self { file, text, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Where something stands.
    pub(super) fn origin(&self, location: serde_saphyr::Location) -> Origin {
        let place = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        Origin {
            file: self.file.clone(),
            line: place(location.line()),
            column: place(location.column()),
        }
    }

    /// Where a character of a text node stands, `offset` bytes into its value; where the value
    /// does not stand in the file as it is (escapes, folding), where the node begins.
    pub(super) fn origin_in(&self, node: &Node, value: &str, offset: usize) -> Origin {
        let mut origin = self.origin(node.referenced);
        let begin = node.referenced.span().byte_offset().and_then(|o| usize::try_from(o).ok());
        let Some(source) = begin.and_then(|at| self.text.get(at..)) else { return origin };
        let quote = usize::from(source.starts_with(['"', '\'']));
        if source.get(quote..).is_some_and(|s| s.starts_with(value))
            && let Some(before) = value.get(..offset)
            && !before.contains('\n')
        {
            let chars = quote + before.chars().count();
            origin.column = origin.column.saturating_add(u32::try_from(chars).unwrap_or(0));
        }
        origin
    }

    pub(super) fn error_at(
        &mut self,
        at: Origin,
        field: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (field, found, expected) = (field.to_owned(), found.into(), expected.into());
        self.errors.push(Error { at, field, found, expected });
    }

    /// The node is not what it should be.
    pub(super) fn expected(&mut self, node: &Node, field: &str, expected: impl Into<String>) {
        let at = self.origin(node.referenced);
        self.error_at(at, field, node.value.describe(), expected);
    }

    pub(super) fn warn(&mut self, at: Origin, field: &str, message: impl Into<String>) {
        self.warnings.push(Warning { at, field: field.to_owned(), message: message.into() });
    }

    /// A mapping with no other fields than `known`; those in `later` are of a later build.
    pub(super) fn object<'n>(
        &mut self,
        node: &'n Node,
        field: &str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Object<'n>> {
        let Value::Map(fields) = &node.value else {
            self.expected(node, field, format!("a mapping with {}", known.join(", ")));
            return None;
        };
        for (key, _) in fields {
            let name = key.value.as_str();
            if known.contains(&name) {
                continue;
            }
            let at = self.origin(key.referenced);
            let expected = if later.contains(&name) {
                UNSUPPORTED.to_owned()
            } else {
                match nearest(name, known.iter().copied()) {
                    Some(near) => format!("{near:?}"),
                    None => format!("one of {}", known.join(", ")),
                }
            };
            let field = join(field, name);
            self.error_at(at, &field, format!("the field {name:?}"), expected);
        }
        Some(Object { node, fields })
    }

    /// The items of a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, field: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            _ => {
                self.expected(node, field, "a list");
                None
            }
        }
    }

    /// A string.
    pub(super) fn text<'n>(
        &mut self,
        node: &'n Node,
        field: &str,
        expected: &str,
    ) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.expected(node, field, format!("a string: {expected}"));
                None
            }
        }
    }

    /// One of a closed set of words.
    pub(super) fn word<T>(
        &mut self,
        node: &Node,
        field: &str,
        words: &[&str],
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if let Value::Text(text) = &node.value
            && let Some(value) = parse(text)
        {
            return Some(value);
        }
        let near = match &node.value {
            Value::Text(text) => nearest(text, words.iter().copied()),
            _ => None,
        };
        let expected = match near {
            Some(near) => format!("{near} (one of {})", words.join(", ")),
            None => format!("one of {}", words.join(", ")),
        };
        self.expected(node, field, expected);
        None
    }

    /// A field that must be there.
    pub(super) fn required<'n>(
        &mut self,
        object: &Object<'n>,
        field: &str,
        name: &str,
        expected: &str,
    ) -> Option<&'n Node> {
        let found = object.get(name);
        if found.is_none() {
            let at = self.origin(object.node.referenced);
            self.error_at(at, &join(field, name), "nothing", expected);
        }
        found
    }

    /// The file holds no document.
    pub(super) fn empty(&mut self) {
        let at = Origin { file: self.file.clone(), line: 1, column: 1 };
        self.error_at(at, "", "no document", "a TrafficPolicy");
    }

    /// The warnings so far.
    pub(super) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// What was read, if nothing was wrong.
    pub(super) fn finish(
        mut self,
        policies: Vec<TrafficPolicy>,
    ) -> Result<Vec<TrafficPolicy>, Errors> {
        if self.errors.is_empty() {
            return Ok(policies);
        }
        self.errors.sort();
        self.errors.dedup();
        Err(Errors(self.errors))
    }
}

/// `parent.name`.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
