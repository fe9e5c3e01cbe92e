//! YAML as plain values, without places: for writing, and for comparing what two texts say.

use super::yaml::{Node, Value};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Int(i128),
    /// By its bits, so that every value equals itself.
    Float(u64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A string.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The field of a mapping.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Tree> {
        let Self::Map(fields) = self else { return None };
        fields.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The list in a field of a mapping; none where it holds something else. One that is absent
    /// or empty becomes a list.
    pub(crate) fn list_mut(&mut self, name: &str) -> Option<&mut Vec<Tree>> {
        let Self::Map(fields) = self else { return None };
        if !fields.iter().any(|(key, _)| key == name) {
            fields.push((name.to_owned(), Self::Null));
        }
        let value = self.get_mut(name)?;
        if *value == Self::Null {
            *value = Self::List(Vec::new());
        }
        match value {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The same with the fields of every mapping sorted: their order says nothing.
    pub(crate) fn normal(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::normal).collect()),
            Self::Map(fields) => {
                let fields = fields.into_iter().map(|(key, value)| (key, value.normal()));
                let mut fields: Vec<_> = fields.collect();
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Map(fields)
            }
            other => other,
        }
    }
}

impl From<&Node> for Tree {
    fn from(node: &Node) -> Self {
        match &node.value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(n) => Self::Int(*n),
            Value::Float(n) => Self::Float(n.to_bits()),
            Value::Text(text) => Self::Text(text.clone()),
            Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Map(fields) => Self::Map(
                fields.iter().map(|(key, value)| (key.value.clone(), Self::from(value))).collect(),
            ),
        }
    }
}
