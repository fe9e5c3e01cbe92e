//! HTTP requests as the log tells them.

use super::fit::{Doubt, Fit, Short};
use super::text::{Hole, Piece, Reading, Text};
use super::{BadRecord, Known, Record};
use crate::class::classify;
use crate::entry::http::{HttpPattern, HttpTarget};
use crate::entry::{Entry, List};
use crate::host::Host;
use crate::model::Rule;
use crate::path::{AMBIGUITIES, Ambiguities, Ambiguity, ambiguities, normalise};
use crate::pattern::Separators;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    method: String,
    target: Target,
    authority: Known,
    upgrade: Known,
    override_header: Known,
    /// What is ambiguous in the path for certain, and what may be.
    certain: Ambiguities,
    possible: Ambiguities,
}

#[derive(Clone, Debug)]
enum Target {
    /// Without its first slash.
    Path(Text),
    Asterisk,
    Connect,
    Other,
    /// The log has cut the method or the beginning of the path.
    Cut,
}

/// The log cuts texts at 1,024 bytes; bytes that are not UTF-8 have become longer.
const CUT: usize = 1000;

/// The text without the `…` that the log has put behind it, and whether there was one.
pub(super) fn uncut(text: &str) -> (&str, bool) {
    match text.strip_suffix('…') {
        Some(head) if head.len() >= CUT => (head, true),
        _ => (text, false),
    }
}

impl Http {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, BadRecord> {
        let (op, cut) = uncut(record.op);
        let (method, shape) = op.split_once(' ').unwrap_or((op, ""));
        if method.is_empty() {
            return Err(BadRecord("its op has no method"));
        }
        let mut path = Path::default();
        let target = match shape {
            _ if cut && !shape.starts_with('/') => Target::Cut,
            _ if method == "CONNECT" => Target::Connect,
            "" => Target::Path(Text::default()),
            "*" => Target::Asterisk,
            shape if shape.starts_with('/') => {
                path = Path::read(shape, cut, record.detail);
                Target::Path(path.text())
            }
            _ => Target::Other,
        };
        let (certain, mut possible) = path.ambiguities();
        if let Some(most) = record.ambiguities {
            AMBIGUITIES.into_iter().filter(|kind| !most.contains(*kind)).for_each(|kind| {
                possible = possible.without(only(kind));
            });
        }
        Ok(Self {
            method: method.to_owned(),
            target,
            authority: Known::of_name(record.host),
            upgrade: Known::of_name(record.upgrade),
            override_header: Known::of_name(record.override_header),
            certain,
            possible,
        })
    }

    /// The path is ambiguous for certain.
    pub(super) fn is_ambiguous(&self) -> bool {
        !self.certain.is_empty()
    }

    /// Whether it asks to switch to something that nothing can permit; none: not told.
    pub(super) fn asks_for_other_than_websocket(&self) -> Option<bool> {
        match &self.upgrade {
            Known::None => Some(false),
            Known::This(token) => Some(!token.eq_ignore_ascii_case("websocket")),
            Known::Untold => None,
        }
    }

    /// The host as rules see it; none: not told.
    fn host(&self) -> Option<Option<(Host<'_>, Option<u16>)>> {
        match &self.authority {
            Known::None => Some(None),
            Known::This(authority) => Some(Host::of_authority(authority.as_bytes())),
            Known::Untold => None,
        }
    }

    /// Whether the entry covers the request, as `miss::covers` says of what is known whole.
    pub(super) fn covered(
        &self,
        rule: &Rule,
        list: List,
        entry: &Entry,
        pattern: &HttpPattern,
    ) -> Fit {
        let method = pattern.method.as_deref().is_none_or(|method| method == self.method);
        Fit::of(method)
            .and(|| self.target_covered(&pattern.target))
            .and(|| match list {
                List::Allow => self.permitted(entry),
                List::Deny => Fit::Yes,
            })
            .and(|| self.host_covered(rule, list))
    }

    fn target_covered(&self, target: &HttpTarget) -> Fit {
        match (target, &self.target) {
            (_, Target::Cut) => Fit::Maybe(Doubt::Cut),
            (HttpTarget::Path(pattern), Target::Path(path)) => {
                let separators = Separators::new(b"/");
                let reading = Reading { separators, log: b'/', first: b'/', glob: false };
                path.covered(pattern, &reading, true)
            }
            (HttpTarget::Asterisk, Target::Asterisk)
            | (HttpTarget::Connect(None), Target::Connect) => Fit::Yes,
            (HttpTarget::Connect(Some((pattern, port))), Target::Connect) => match self.host() {
                None => Fit::Maybe(Doubt::Host),
                Some(Some((host, asked))) => {
                    Fit::of(asked == Some(*port) && pattern.matches(&host))
                }
                Some(None) => Fit::OTHER,
            },
            _ => Fit::OTHER,
        }
    }

    /// Whether an allow entry permits what is odd about the request.
    fn permitted(&self, entry: &Entry) -> Fit {
        let upgrade = |token: &str| entry.upgrade && token.eq_ignore_ascii_case("websocket");
        let named = |name: &str| {
            entry.override_headers.iter().any(|header| header.eq_ignore_ascii_case(name))
        };
        let asked = |known: &Known, permitted: &dyn Fn(&str) -> bool, short| match known {
            Known::None => Fit::Yes,
            Known::This(what) => Fit::unless(permitted(what), short),
            Known::Untold => Fit::Maybe(Doubt::Asked),
        };
        Fit::unless(self.certain.without(entry.permit).is_empty(), Short::Permit)
            .and(|| match self.possible.without(entry.permit).is_empty() {
                true => Fit::Yes,
                false => Fit::Maybe(Doubt::Ambiguity),
            })
            .and(|| asked(&self.upgrade, &upgrade, Short::Upgrade))
            .and(|| asked(&self.override_header, &named, Short::Override))
    }

    fn host_covered(&self, rule: &Rule, list: List) -> Fit {
        if rule.hosts.is_empty() {
            return Fit::Yes;
        }
        match self.host() {
            None => Fit::Maybe(Doubt::Host),
            Some(None) => Fit::unless(list == List::Deny, Short::Host),
            Some(Some((host, _))) => {
                Fit::unless(rule.hosts.iter().any(|p| p.matches(&host)), Short::Host)
            }
        }
    }
}

fn only(kind: Ambiguity) -> Ambiguities {
    let mut set = Ambiguities::NONE;
    set.insert(kind);
    set
}

/// A path, segment by segment.
#[derive(Default)]
struct Path {
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
    fn read(shape: &str, cut: bool, detail: Option<&str>) -> Self {
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
    fn text(&self) -> Text {
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
    fn ambiguities(&self) -> (Ambiguities, Ambiguities) {
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
