//! Paths as the log tells them: the shape, and what a detail in full adds to it.

use super::text::{Hole, Piece, Text, uncut};
use crate::class::classify;
use crate::path::{AMBIGUITIES, Ambiguities, Ambiguity, ambiguities, normalise};

/// A path, segment by segment.
#[derive(Default)]
pub(super) struct Path {
    segments: Vec<Segment>,
    /// The last segment goes on, and more may follow.
    cut: bool,
    /// The detail is the path as sent.
    full: bool,
}

enum Segment {
    /// As sent.
    Sent(Vec<u8>),
    /// In normal form, with holes.
    Masked(Vec<Piece>),
}

impl Path {
    pub(super) fn read(shape: &str, cut: bool, detail: Option<&str>) -> Self {
        let shapes: Vec<&str> = shape.split('/').skip(1).collect();
        let last = shapes.len().saturating_sub(1);
        let mut path = Self { cut, ..Self::default() };
        for (i, shape) in shapes.into_iter().enumerate() {
            path.segments.push(Segment::Masked(match cut && i == last {
                true => beginning(shape),
                false => masked(shape),
            }));
        }
        path.refine(detail);
        path
    }

    /// Takes from the detail what the shape hides, if it is logged in full.
    fn refine(&mut self, detail: Option<&str>) {
        let (detail, cut) = uncut(detail.unwrap_or_default());
        let (path, whole) = match detail.split_once('?') {
            Some((path, _)) => (path, true),
            None => (detail, !cut),
        };
        let mut sent: Vec<&str> = path.split('/').skip(1).collect();
        let same = sent.len() == self.segments.len();
        if !whole {
            sent.pop();
        }
        if whole && !self.cut && !same {
            return;
        }
        // What a cut shape ends with is not a whole segment.
        let most = self.segments.len() - usize::from(self.cut);
        for (segment, sent) in self.segments.iter_mut().take(most).zip(sent) {
            let Segment::Masked(pieces) = segment else { continue };
            if let Some(certain) = stands_for(pieces, sent) {
                self.full |= certain;
                *segment = Segment::Sent(sent.as_bytes().to_vec());
            }
        }
    }

    /// In normal form, without the first slash.
    pub(super) fn text(&self) -> Text {
        let mut text = Text { pieces: Vec::new(), cut: self.cut };
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                text.push(b"/");
            }
            match segment {
                Segment::Sent(bytes) => {
                    let mut normal = Vec::with_capacity(bytes.len());
                    normalise(bytes, &mut normal);
                    text.push(&normal);
                }
                Segment::Masked(pieces) => {
                    for piece in pieces {
                        match piece {
                            Piece::Text(bytes) => text.push(bytes),
                            hole => text.pieces.push(hole.clone()),
                        }
                    }
                }
            }
        }
        text
    }

    /// What is ambiguous for certain, and what may be besides.
    pub(super) fn ambiguities(&self) -> (Ambiguities, Ambiguities) {
        // No value of a class is ambiguous, nor makes what stands beside it so.
        let mut sample = Vec::new();
        let (mut hidden, mut percent) = (self.cut, false);
        for segment in &self.segments {
            sample.push(b'/');
            let pieces = match segment {
                Segment::Sent(bytes) => {
                    sample.extend_from_slice(bytes);
                    percent |= !self.full && bytes.windows(3).any(|w| w == b"%25");
                    continue;
                }
                Segment::Masked(pieces) => pieces,
            };
            for piece in pieces {
                match piece {
                    Piece::Text(bytes) => {
                        percent |= bytes.windows(3).any(|w| w == b"%25");
                        sample.extend_from_slice(bytes);
                    }
                    Piece::Hole(hole) => {
                        hidden |= *hole == Hole::Any;
                        sample.push(b'x');
                    }
                }
            }
        }
        if self.cut && !matches!(self.segments.last(), Some(Segment::Masked(p)) if p.is_empty()) {
            // So that what is there of the last segment is none of its own: it goes on.
            sample.push(b'x');
        }
        let certain = ambiguities(&sample);
        let mut possible = Ambiguities::NONE;
        for kind in AMBIGUITIES {
            let may = match kind {
                Ambiguity::BadEscape => hidden || percent,
                // A hole is never empty.
                Ambiguity::EmptySegments => self.cut,
                _ => hidden,
            };
            if may {
                possible.insert(kind);
            }
        }
        (certain, possible.without(certain))
    }
}

/// A segment of a shape.
fn masked(shape: &str) -> Vec<Piece> {
    let mut text = Text::default();
    for (i, piece) in shape.split(';').enumerate() {
        if i > 0 {
            text.push(b";");
        }
        let name = piece.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let hole = if i == 0 {
            name.and_then(Hole::named)
        } else {
            // The names of parameters are not escaped: a brace may be one that was sent.
            piece.contains(['{', '\u{fffd}']).then_some(Hole::Any)
        };
        match hole {
            Some(hole) => text.pieces.push(Piece::Hole(hole)),
            None if i == 0 => text.push(&unescaped(piece)),
            None => {
                let mut normal = Vec::new();
                normalise(piece.as_bytes(), &mut normal);
                text.push(&normal);
            }
        }
    }
    text.pieces
}

/// What is certain of a segment of which the log has cut the end.
fn beginning(shape: &str) -> Vec<Piece> {
    let plain = !shape.contains(['{', '\\', ';', '\u{fffd}']);
    let text = if plain { Text::known(shape.as_bytes()) } else { Text::default() };
    text.pieces
}

fn unescaped(shape: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(shape.len());
    let mut bytes = shape.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    out
}

/// Whether the mask of `sent` is the segment, so that it was sent so. None: it is not; true: it
/// could not be a masked segment either.
fn stands_for(segment: &[Piece], sent: &str) -> Option<bool> {
    if sent.contains('\u{fffd}') {
        return None;
    }
    let (first, parameters) = sent.split_once(';').map_or((sent, None), |(a, b)| (a, Some(b)));
    let mut normal = Vec::new();
    normalise(first.as_bytes(), &mut normal);
    let (begins, rest) = match segment.split_first() {
        Some((Piece::Hole(Hole::Class(class)), rest)) => (classify(&normal) == Some(*class), rest),
        // A hole is none in a detail in full; here it may be a brace that was sent, too.
        Some((Piece::Hole(Hole::Any), rest)) => {
            (!first.is_empty() && !first.contains('{') && parameters.is_none(), rest)
        }
        Some((Piece::Text(text), rest)) => match parameters {
            None => (*text == normal, rest),
            Some(_) => (text.starts_with(&normal) && text.get(normal.len()) == Some(&b';'), rest),
        },
        None => (sent.is_empty(), &[][..]),
    };
    let hides = matches!(segment.first(), Some(Piece::Hole(Hole::Class(_))));
    match parameters {
        _ if !begins => None,
        None => rest.is_empty().then_some(hides || normal != first.as_bytes()),
        Some(parameters) => same_parameters(segment, parameters, hides),
    }
}

/// The same of what stands behind the first `;`.
fn same_parameters(segment: &[Piece], sent: &str, hides: bool) -> Option<bool> {
    // A brace is what was hidden in either form of detail, or one that was sent.
    if sent.contains('{') {
        return None;
    }
    let semicolons = segment.iter().map(|piece| match piece {
        Piece::Text(bytes) => bytes.iter().filter(|b| **b == b';').count(),
        Piece::Hole(_) => 0,
    });
    let same = semicolons.sum::<usize>() == sent.split(';').count();
    let holes = segment.iter().skip(1).any(|piece| matches!(piece, Piece::Hole(_)));
    same.then_some(hides || holes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(op: &str, detail: Option<&str>) -> Path {
        Path::read(op, false, detail)
    }

    fn sent(op: &str, detail: &str) -> Vec<Option<String>> {
        let text = |segment| match segment {
            Segment::Sent(bytes) => String::from_utf8(bytes).ok(),
            Segment::Masked(_) => None,
        };
        path(op, Some(detail)).segments.into_iter().map(text).collect()
    }

    #[test]
    fn a_detail_in_full_tells_what_was_sent() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(sent("/carts/{int}", "/carts/7?x=1"), [some("carts"), some("7")]);
        assert_eq!(sent("/carts/{int}", "/carts/{int}?x={}"), [some("carts"), None]);
        assert_eq!(sent("/a/{new}", "/a/shoes"), [some("a"), some("shoes")]);
        assert_eq!(sent("/a/{new}", "/a/{new}"), [some("a"), None]);
        assert_eq!(sent(r"/\{int\}", "/{int}"), [some("{int}")]);
        assert_eq!(sent("/x-y", "/x%2dy"), [some("x%2dy")]);
        assert_eq!(sent("/x;k={}", "/x;k=foo"), [some("x;k=foo")]);
        assert_eq!(sent("/x;key={}", "/x;key={}"), [None]);
        assert_eq!(sent("/{}", "/{}"), [None]);
        assert_eq!(sent("/a", "/b"), [None]);
    }

    #[test]
    fn what_is_hidden_may_be_ambiguous() {
        let kinds = |op: &str| {
            let (certain, possible) = path(op, None).ambiguities();
            (certain.to_string(), possible.iter().count())
        };
        assert_eq!(kinds("/a/{int}"), (String::new(), 0));
        assert_eq!(kinds("/a/{new}"), (String::new(), 8));
        assert_eq!(kinds("/a/.."), ("dotSegments".to_owned(), 0));
        assert_eq!(kinds("/a;k={}"), ("parameters".to_owned(), 7));
        assert_eq!(kinds("/100%25"), (String::new(), 1));
    }
}
