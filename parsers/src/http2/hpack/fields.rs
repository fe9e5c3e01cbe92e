//! Lists of fields, in a buffer that is used again and again.

/// How a field was, or is to be, represented in a block (RFC 7541 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Representation {
    /// An index into the tables.
    Indexed,
    /// A literal that enters the dynamic table.
    Incremental,
    /// A literal that does not.
    Without,
    /// A literal that must never enter one, at any hop.
    Never,
}

/// A field of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, as sent.
    pub name: &'a [u8],
    /// The value, as sent.
    pub value: &'a [u8],
    /// How it was represented.
    pub representation: Representation,
}

/// Fields in order. Once it is warm, a field costs no allocation.
#[derive(Clone, Debug, Default)]
pub struct FieldList {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a field's name and value end; they begin where what is before them ends.
#[derive(Clone, Copy, Debug)]
struct Span {
    name_end: usize,
    value_end: usize,
    representation: Representation,
}

impl FieldList {
    /// An empty list, without memory of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the fields, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.spans.iter().scan(&self.bytes[..], |rest, span| {
            let start = self.bytes.len() - rest.len();
            let (name, after) = rest.split_at_checked(span.name_end - start)?;
            let (value, after) = after.split_at_checked(span.value_end - span.name_end)?;
            *rest = after;
            Some(Field { name, value, representation: span.representation })
        })
    }

    /// Adds a field.
    pub fn push(&mut self, name: &[u8], value: &[u8], representation: Representation) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.spans.push(Span { name_end, value_end: self.bytes.len(), representation });
    }

    /// How many bytes of memory it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// The bytes of the fields, for a field to be written behind them before it is kept.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a field of what was written behind `start`.
    pub(super) fn keep(&mut self, name_end: usize, representation: Representation) {
        self.spans.push(Span { name_end, value_end: self.bytes.len(), representation });
    }
}
