//! Patterns over texts that fall into parts: paths at `/`, Redis keys at their separators.

use crate::class::Class;
use crate::hash::Hash;
use crate::path::{Normal, is_plain};

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// These bytes; of a path, in normal form.
    Literal(Box<[u8]>),
    /// `{}`: anything but nothing; `{int}` and its like: one of the class.
    Slot(Option<Class>),
}

/// How a pattern ends when it does not end with its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rest {
    /// The separator before it; 0 where a key begins.
    pub separator: u8,
    /// What the rest begins with.
    pub prefix: Box<[u8]>,
}

/// A pattern: parts, each with the separator before it, and perhaps a rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence {
    /// Separator (0 before a key's first part) and part.
    pub parts: Vec<(u8, Token)>,
    /// A final `*`.
    pub rest: Option<Rest>,
}

/// More parts than this in one pattern are an error: it bounds the matcher's depth.
pub(crate) const MAX_PARTS: usize = 64;

/// A text cut into parts, as a matcher sees it. `at` is an offset that this text gave out.
pub(crate) trait Text {
    /// The part at `at`: its separator, itself as sent, and where the next one is.
    fn part(&self, at: usize) -> Option<(u8, &[u8], usize)>;
    /// All that follows the separator at `at`.
    fn remaining(&self, at: usize) -> &[u8];
    /// Whether a rest with this prefix covers `remaining`.
    fn covers_rest(&self, prefix: &[u8], remaining: &[u8]) -> bool;
    /// A hash that equals that of the literal in normal form.
    fn hash(&self, separator: u8, part: &[u8]) -> u64;
    /// Whether `part` is `literal`.
    fn is(&self, part: &[u8], literal: &[u8]) -> bool;
    /// Whether the slot takes `part`.
    fn fits(&self, slot: Option<Class>, part: &[u8]) -> bool;
}

impl Sequence {
    /// `*` alone.
    pub(crate) fn is_bare(&self) -> bool {
        let all = |rest: &Rest| rest.separator == 0 && rest.prefix.is_empty();
        self.parts.is_empty() && self.rest.as_ref().is_some_and(all)
    }

    /// Whether the pattern may cover a text that begins with `start`, as far as its own literal
    /// beginning tells.
    pub(crate) fn may_begin(&self, start: &[u8]) -> bool {
        let literals = self.parts.iter().map_while(|(separator, token)| match token {
            Token::Literal(literal) => Some((*separator, &**literal)),
            Token::Slot(_) => None,
        });
        let whole = self.parts.iter().all(|(_, token)| matches!(token, Token::Literal(_)));
        let rest = self.rest.iter().filter(|_| whole).map(|rest| (rest.separator, &*rest.prefix));
        let mut left = start;
        for (separator, text) in literals.chain(rest) {
            let separator = std::slice::from_ref(&separator);
            for piece in [separator.strip_prefix(&[0]).unwrap_or(separator), text] {
                let n = piece.len().min(left.len());
                if piece[..n] != left[..n] {
                    return false;
                }
                left = &left[n..];
            }
        }
        left.is_empty() || !whole || self.rest.is_some()
    }

    /// Whether the pattern covers the text: the plain definition of what the trie finds faster.
    pub(crate) fn matches(&self, text: &impl Text) -> bool {
        let mut at = 0;
        for (separator, token) in &self.parts {
            let Some((found, part, next)) = text.part(at) else { return false };
            let fits = match token {
                Token::Literal(literal) => text.is(part, literal),
                Token::Slot(slot) => text.fits(*slot, part),
            };
            if found != *separator || !fits {
                return false;
            }
            at = next;
        }
        match (&self.rest, text.part(at)) {
            (None, end) => end.is_none(),
            (Some(rest), Some((separator, _, _))) => {
                separator == rest.separator && text.covers_rest(&rest.prefix, text.remaining(at))
            }
            (Some(_), None) => false,
        }
    }
}

/// The hash of a literal in normal form, as the trie stores it.
pub(crate) fn hash_plain(separator: u8, part: &[u8]) -> u64 {
    crate::hash::bytes(separator, part)
}

/// A path that begins with `/`.
#[derive(Clone, Copy)]
pub(crate) struct PathText<'a> {
    pub(crate) path: &'a [u8],
    /// It is its own normal form.
    pub(crate) plain: bool,
}

/// What a class is asked about is at most this long in normal form.
const CLASS_BYTES: usize = 512;

impl Text for PathText<'_> {
    fn part(&self, at: usize) -> Option<(u8, &[u8], usize)> {
        let rest = self.path.get(at..)?.strip_prefix(b"/")?;
        let len = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        Some((b'/', &rest[..len], at + 1 + len))
    }

    fn remaining(&self, at: usize) -> &[u8] {
        self.path.get(at + 1..).unwrap_or_default()
    }

    /// One or more segments, of which the first is not the empty one after a final slash.
    fn covers_rest(&self, _prefix: &[u8], remaining: &[u8]) -> bool {
        !remaining.is_empty()
    }

    fn hash(&self, separator: u8, part: &[u8]) -> u64 {
        if self.plain || is_plain(part) {
            return hash_plain(separator, part);
        }
        let mut hash = Hash::new(separator);
        Normal::new(part).for_each(|byte| hash.push(byte));
        hash.finish()
    }

    fn is(&self, part: &[u8], literal: &[u8]) -> bool {
        if self.plain || is_plain(part) {
            part == literal
        } else {
            Normal::new(part).eq(literal.iter().copied())
        }
    }

    fn fits(&self, slot: Option<Class>, part: &[u8]) -> bool {
        let Some(class) = slot else { return !part.is_empty() };
        if self.plain || is_plain(part) {
            return class.contains(part);
        }
        let mut normal = [0u8; CLASS_BYTES];
        let mut len = 0;
        for byte in Normal::new(part) {
            let Some(place) = normal.get_mut(len) else { return false };
            *place = byte;
            len += 1;
        }
        class.contains(&normal[..len])
    }
}

/// The bytes at which a rule's Redis keys fall into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Separators(u128);

impl Default for Separators {
    /// `:`.
    fn default() -> Self {
        Self(1 << b':')
    }
}

impl Separators {
    /// These bytes, all ASCII; what is not is left out.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().filter(|b| b.is_ascii()).fold(0, |set, b| set | 1 << *b))
    }

    /// Whether parts are cut at this byte.
    pub fn contains(self, byte: u8) -> bool {
        byte.is_ascii() && self.0 & (1 << byte) != 0
    }

    /// The bytes, in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..128).filter(move |b| self.contains(*b))
    }

    /// Where the next separator is.
    pub(crate) fn find(self, text: &[u8]) -> Option<usize> {
        text.iter().position(|b| self.contains(*b))
    }
}

/// What a glob of the server's begins with, before its first wildcard; none where it has none
/// and is a text (`stringmatchlen` in the server's `util.c`).
pub(crate) fn fixed_start(glob: &[u8]) -> Option<&[u8]> {
    let wildcard = glob.iter().position(|b| b"*?[\\".contains(b))?;
    glob.get(..wildcard)
}

/// A Redis key or channel.
#[derive(Clone, Copy)]
pub(crate) struct KeyText<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) separators: Separators,
    /// The text is a glob for the server (PSUBSCRIBE): a slot takes no part with a wildcard.
    pub(crate) glob: bool,
}

impl Text for KeyText<'_> {
    fn part(&self, at: usize) -> Option<(u8, &[u8], usize)> {
        let (separator, from) = match at {
            0 => (0, 0),
            _ => (*self.key.get(at - 1)?, at),
        };
        let rest = self.key.get(from..)?;
        let len = self.separators.find(rest).unwrap_or(rest.len());
        Some((separator, &rest[..len], from + len + 1))
    }

    fn remaining(&self, at: usize) -> &[u8] {
        self.key.get(at..).unwrap_or_default()
    }

    fn covers_rest(&self, prefix: &[u8], remaining: &[u8]) -> bool {
        remaining.starts_with(prefix)
    }

    fn hash(&self, separator: u8, part: &[u8]) -> u64 {
        hash_plain(separator, part)
    }

    fn is(&self, part: &[u8], literal: &[u8]) -> bool {
        part == literal
    }

    fn fits(&self, slot: Option<Class>, part: &[u8]) -> bool {
        if self.glob && fixed_start(part).is_some() {
            return false;
        }
        slot.map_or(!part.is_empty(), |class| class.contains(part))
    }
}
