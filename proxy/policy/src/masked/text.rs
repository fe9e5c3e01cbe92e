//! Texts with holes in them, and whether a pattern covers them.

use super::fit::{Doubt, Fit};
use crate::class::{CLASSES, Class, classify};
use crate::pattern::{Separators, Sequence, Token};

/// What the log shows in place of a value. None stands for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// What [`classify`] takes for this class.
    Class(Class),
    /// `{new}` or `{}`: anything.
    Any,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// These bytes; of a path, in normal form.
    Text(Vec<u8>),
    Hole(Hole),
}

/// A path or key as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) pieces: Vec<Piece>,
    /// Something follows that is not known.
    pub(super) cut: bool,
}

/// How a text falls into parts, and is compared.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// What the parts of the pattern are set apart by.
    pub(super) separators: Separators,
    /// What no hole holds: the log has split there.
    pub(super) log: u8,
    /// The separator before the first part.
    pub(super) first: u8,
    /// A slot takes no part with a wildcard (PSUBSCRIBE).
    pub(super) glob: bool,
}

/// What begins a wildcard in a channel's pattern.
pub(super) const WILD: &[u8] = b"*?[\\";

/// The log cuts texts at 1,024 bytes; bytes that are not UTF-8 have become longer.
const CUT: usize = 1000;

/// The text without the `…` that the log has put behind it, and whether there was one.
pub(super) fn uncut(text: &str) -> (&str, bool) {
    match text.strip_suffix('…') {
        Some(head) if head.len() >= CUT => (head, true),
        _ => (text, false),
    }
}

impl Hole {
    /// The hole of this name between braces.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "new" => Some(Hole::Any),
            name => Class::from_name(name).map(Hole::Class),
        }
    }

    pub(super) fn may_hold(self, byte: u8) -> bool {
        match self {
            Hole::Class(class) => class.may_hold(byte),
            Hole::Any => true,
        }
    }

    /// Whether the value is these bytes.
    fn is(self, bytes: &[u8]) -> Fit {
        let possible = match self {
            Hole::Class(class) => classify(bytes) == Some(class),
            Hole::Any => !bytes.is_empty(),
        };
        if possible { Fit::Maybe(Doubt::Value) } else { Fit::OTHER }
    }

    /// Whether the slot takes the value.
    fn fits(self, slot: Option<Class>) -> Fit {
        match (self, slot) {
            (_, None) => Fit::Yes,
            (Hole::Any, Some(_)) => Fit::Maybe(Doubt::Value),
            (Hole::Class(of), Some(slot)) if of == slot => Fit::Yes,
            (Hole::Class(of), Some(slot)) => among(of, slot),
        }
    }
}

/// Whether what classification takes for `of` is in `slot`, another class.
fn among(of: Class, slot: Class) -> Fit {
    let order = |class| CLASSES.iter().position(|c| *c == class);
    match (of, slot) {
        // It would have been taken for that one.
        (of, slot) if order(slot) < order(of) => Fit::OTHER,
        (Class::Uuid, Class::Token) => Fit::Yes,
        (Class::Int, Class::Hex | Class::Token) | (Class::Hex, Class::Token) => {
            Fit::Maybe(Doubt::Value)
        }
        _ => Fit::OTHER,
    }
}

impl Text {
    /// A text that is known whole.
    pub(super) fn known(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        text.push(bytes);
        text
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        push(&mut self.pieces, bytes);
    }

    /// The parts, and what is known of the beginning of one whose end, and whatever follows, is
    /// not known.
    #[expect(clippy::type_complexity, reason = "read once, in `covered`")]
    fn parts(&self, reading: &Reading) -> (Vec<(u8, Vec<Piece>)>, Option<(u8, Vec<Piece>)>) {
        let mut parts = Vec::new();
        let mut part = (reading.first, Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => {
                    for byte in bytes {
                        if reading.separators.contains(*byte) {
                            parts.push(std::mem::replace(&mut part, (*byte, Vec::new())));
                        } else {
                            push(&mut part.1, &[*byte]);
                        }
                    }
                }
                Piece::Hole(hole) => {
                    part.1.push(piece.clone());
                    let holds = |b: u8| b != reading.log && hole.may_hold(b);
                    if reading.separators.iter().any(holds) {
                        return (parts, Some(part));
                    }
                }
            }
        }
        if self.cut {
            return (parts, Some(part));
        }
        parts.push(part);
        (parts, None)
    }

    fn doubt(&self) -> Doubt {
        if self.cut { Doubt::Cut } else { Doubt::Value }
    }

    /// Whether the pattern covers the text. `path`: a rest is one or more segments, else what
    /// begins with its prefix.
    pub(super) fn covered(&self, pattern: &Sequence, reading: &Reading, path: bool) -> Fit {
        let (parts, tail) = self.parts(reading);
        let mut fit = Fit::Yes;
        for (i, (separator, token)) in pattern.parts.iter().enumerate() {
            let Some((found, part)) = parts.get(i) else {
                let begins = tail.as_ref().is_some_and(|(found, part)| {
                    i > parts.len() || found == separator && may_begin(token, part)
                });
                return if begins { fit.and(|| Fit::Maybe(self.doubt())) } else { Fit::OTHER };
            };
            fit = fit.and(|| Fit::of(found == separator)).and(|| fits(token, part, reading));
            if matches!(fit, Fit::No(_)) {
                return fit;
            }
        }
        let left = parts.get(pattern.parts.len()..).unwrap_or_default();
        let next = left.first().or(tail.as_ref());
        fit.and(|| match (&pattern.rest, next) {
            (None, next) => Fit::of(next.is_none()),
            (Some(_), None) => Fit::OTHER,
            (Some(rest), Some((separator, _))) if rest.separator != *separator => Fit::OTHER,
            (Some(_), Some((_, first))) if path => {
                Fit::of(!first.is_empty() || left.len() > 1 || tail.is_some())
            }
            (Some(rest), Some(_)) => self.begins(&rest.prefix, left, tail.as_ref()),
        })
    }

    /// Whether these parts and what follows begin with `prefix`.
    fn begins(
        &self,
        prefix: &[u8],
        parts: &[(u8, Vec<Piece>)],
        tail: Option<&(u8, Vec<Piece>)>,
    ) -> Fit {
        let mut flat = Vec::new();
        for (i, (separator, part)) in parts.iter().chain(tail).enumerate() {
            if i > 0 {
                push(&mut flat, &[*separator]);
            }
            for piece in part {
                match piece {
                    Piece::Text(bytes) => push(&mut flat, bytes),
                    hole => flat.push(hole.clone()),
                }
            }
        }
        let mut left = prefix;
        for piece in &flat {
            match (piece, left.first()) {
                (_, None) => return Fit::Yes,
                (Piece::Text(bytes), _) => {
                    let n = bytes.len().min(left.len());
                    if bytes[..n] != left[..n] {
                        return Fit::OTHER;
                    }
                    left = &left[n..];
                }
                (Piece::Hole(hole), Some(next)) if hole.may_hold(*next) => {
                    return Fit::Maybe(Doubt::Value);
                }
                (Piece::Hole(_), Some(_)) => return Fit::OTHER,
            }
        }
        match (left, tail) {
            ([], _) => Fit::Yes,
            (_, Some(_)) => Fit::Maybe(self.doubt()),
            _ => Fit::OTHER,
        }
    }

    /// Whether a channel's pattern is a glob, of which the pattern of a deny entry may cover a
    /// channel.
    pub(super) fn may_be_touched(&self, pattern: &Sequence) -> Fit {
        let mut fixed: &[u8] = &[];
        let mut wild = false;
        let holes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(*hole),
            Piece::Text(_) => None,
        });
        let may_be_wild = self.cut || holes.clone().any(|h| WILD.iter().any(|b| h.may_hold(*b)));
        if let Some(Piece::Text(bytes)) = self.pieces.first() {
            let at = bytes.iter().position(|b| WILD.contains(b));
            fixed = &bytes[..at.unwrap_or(bytes.len())];
            if at.is_some() {
                return Fit::of(pattern.may_begin(fixed));
            }
        }
        for piece in &self.pieces {
            if let Piece::Text(bytes) = piece {
                wild |= bytes.iter().any(|b| WILD.contains(b));
            }
        }
        if (wild || may_be_wild) && pattern.may_begin(fixed) {
            return Fit::Maybe(self.doubt());
        }
        Fit::OTHER
    }
}

/// Appends bytes to the last text, or a new one.
fn push(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.extend_from_slice(bytes),
        _ if bytes.is_empty() => {}
        _ => pieces.push(Piece::Text(bytes.to_vec())),
    }
}

/// Whether a part that begins so may be the token's.
fn may_begin(token: &Token, part: &[Piece]) -> bool {
    match (token, part.first()) {
        (Token::Literal(literal), Some(Piece::Text(start))) => literal.starts_with(start),
        (Token::Slot(Some(class)), Some(Piece::Text(start))) => {
            start.iter().all(|b| class.may_hold(*b))
        }
        _ => true,
    }
}

/// Whether the token covers the part.
fn fits(token: &Token, part: &[Piece], reading: &Reading) -> Fit {
    let wild = |byte: &u8| reading.glob && WILD.contains(byte);
    let fit = match (part, token) {
        ([], Token::Literal(literal)) => Fit::of(literal.is_empty()),
        ([], Token::Slot(_)) => Fit::OTHER,
        ([Piece::Text(bytes)], Token::Literal(literal)) => Fit::of(**literal == **bytes),
        ([Piece::Text(bytes)], Token::Slot(None)) => Fit::of(!bytes.is_empty()),
        ([Piece::Text(bytes)], Token::Slot(Some(class))) => Fit::of(class.contains(bytes)),
        ([Piece::Hole(hole)], Token::Literal(literal)) => hole.is(literal),
        ([Piece::Hole(hole)], Token::Slot(slot)) => hole.fits(*slot),
        (pieces, Token::Literal(literal)) => mixed(pieces, literal),
        (_, Token::Slot(None)) => Fit::Yes,
        (pieces, Token::Slot(Some(class))) => {
            let possible = pieces.iter().all(|piece| match piece {
                Piece::Text(bytes) => bytes.iter().all(|b| class.may_hold(*b)),
                Piece::Hole(_) => true,
            });
            if possible { Fit::Maybe(Doubt::Value) } else { Fit::OTHER }
        }
    };
    let Token::Slot(_) = token else { return fit };
    fit.and(|| {
        let mut glob = Fit::Yes;
        for piece in part {
            let piece = match piece {
                Piece::Text(bytes) => Fit::of(!bytes.iter().any(wild)),
                Piece::Hole(hole) if WILD.iter().any(|b| wild(b) && hole.may_hold(*b)) => {
                    Fit::Maybe(Doubt::Value)
                }
                Piece::Hole(_) => Fit::Yes,
            };
            glob = glob.and(|| piece);
        }
        glob
    })
}

/// Whether texts and holes together may be these bytes.
fn mixed(pieces: &[Piece], literal: &[u8]) -> Fit {
    let edge = |piece: Option<&Piece>| match piece {
        Some(Piece::Text(bytes)) => bytes.clone(),
        _ => Vec::new(),
    };
    let (start, end) = (edge(pieces.first()), edge(pieces.last()));
    let possible = literal.len() > start.len() + end.len()
        && literal.starts_with(&start)
        && literal.ends_with(&end);
    if possible { Fit::Maybe(Doubt::Value) } else { Fit::OTHER }
}
