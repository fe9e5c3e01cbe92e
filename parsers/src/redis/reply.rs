//! Reading the server's leg.

use super::Reason;
use super::number::{crlf, integer, length, to_usize};

/// Bounds for [`ReplyStream`].
#[derive(Clone, Copy, Debug)]
pub struct ReplyLimits {
    /// How deep replies may be nested.
    pub depth: usize,
    /// The longest line (simple strings, errors, numbers), in bytes, CR LF included.
    pub line_bytes: usize,
    /// The longest bulk string, in bytes.
    pub bulk_bytes: u64,
}

/// The type of a value, named by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `+`
    Simple,
    /// `-`
    Error,
    /// `:`
    Integer,
    /// `$`, and its size.
    Bulk(u64),
    /// `_`, and RESP2's `$-1` and `*-1`.
    Null,
    /// `*`, and how many values it holds.
    Array(u64),
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `!`, and its size.
    BulkError(u64),
    /// `=`, and its size, format included.
    Verbatim(u64),
    /// `%`, and how many pairs it holds.
    Map(u64),
    /// `~`, and how many values it holds.
    Set(u64),
    /// `>`, and how many values it holds. No reply, but out of band.
    Push(u64),
    /// `|`, and how many pairs it holds. It belongs to the value behind it.
    Attribute(u64),
}

/// What stands at the start of the bytes handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyPiece<'a> {
    /// Too little to say.
    Partial,
    /// The line that is a value, or that begins one.
    Value {
        /// How many aggregates it is inside of: 0 for a reply itself.
        depth: usize,
        /// Its type.
        kind: Kind,
        /// The line without its first byte and CR LF.
        line: &'a [u8],
        /// The bytes it takes, first byte and CR LF included.
        len: usize,
        /// The reply, or push, ends with it.
        ends: bool,
    },
    /// A run of the content of a bulk string.
    Data {
        /// How many bytes of content; 0 where only the CR LF was due.
        content: usize,
        /// The bytes it takes: the content, and the CR LF once that has come.
        len: usize,
        /// The reply, or push, ends with it.
        ends: bool,
    },
}

/// Reads one reply after the other, RESP2 or RESP3. The caller disposes of the bytes of each
/// piece and hands in what follows them. Memory grows with the nesting only, and is kept for
/// the next reply.
#[derive(Debug, Default)]
pub struct ReplyStream {
    /// The aggregates around the next value, outermost first.
    open: Vec<Open>,
    /// Content bytes of a bulk string still to come; its CR LF comes after them.
    content: Option<u64>,
    /// An attribute is complete, and the value that it belongs to has not begun.
    attributed: bool,
}

/// An aggregate that is not complete.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Values to come.
    left: u64,
    attribute: bool,
}

impl ReplyStream {
    /// Whether the next byte begins a reply.
    pub fn at_boundary(&self) -> bool {
        self.open.is_empty() && self.content.is_none() && !self.attributed
    }

    /// Names the piece at the start of `buf`.
    ///
    /// # Errors
    /// The first thing that makes it no reply, as soon as the byte that does so has come.
    pub fn next<'a>(
        &mut self,
        buf: &'a [u8],
        limits: &ReplyLimits,
    ) -> Result<ReplyPiece<'a>, Reason> {
        match (self.content, buf) {
            (Some(left), _) => self.data(buf, left),
            (None, []) => Ok(ReplyPiece::Partial),
            (None, [tag, rest @ ..]) => {
                Ok(self.value(*tag, rest, limits)?.unwrap_or(ReplyPiece::Partial))
            }
        }
    }

    fn data<'a>(&mut self, buf: &[u8], left: u64) -> Result<ReplyPiece<'a>, Reason> {
        let content = buf.len().min(to_usize(left));
        let rest = &buf[content..];
        let left = left - content as u64;
        // Content passes before an error behind it is found, however the bytes were cut.
        let ended = match crlf(rest) {
            _ if left > 0 => false,
            Err(reason) if content == 0 => return Err(reason),
            ended => ended.unwrap_or(false),
        };
        if ended {
            self.content = None;
            return Ok(ReplyPiece::Data { content, len: content + 2, ends: self.complete() });
        }
        self.content = Some(left);
        Ok(match content {
            0 => ReplyPiece::Partial,
            _ => ReplyPiece::Data { content, len: content, ends: false },
        })
    }

    /// Reads the line behind `tag`.
    fn value<'a>(
        &mut self,
        tag: u8,
        rest: &'a [u8],
        limits: &ReplyLimits,
    ) -> Result<Option<ReplyPiece<'a>>, Reason> {
        let depth = self.open.len();
        let Some((kind, used)) = head(tag, rest, limits)? else { return Ok(None) };
        if matches!(kind, Kind::Push(_)) && depth > 0 {
            return Err(Reason::MisplacedPush);
        }
        self.attributed = false;
        let ends = match kind {
            Kind::Bulk(size) | Kind::BulkError(size) | Kind::Verbatim(size) => {
                if size > limits.bulk_bytes {
                    return Err(Reason::BulkTooLarge);
                }
                self.content = Some(size);
                false
            }
            Kind::Array(n) | Kind::Set(n) | Kind::Push(n) => self.open(n, false, limits)?,
            Kind::Map(n) => self.open(pairs(n)?, false, limits)?,
            Kind::Attribute(n) => self.open(pairs(n)?, true, limits)?,
            _ => self.complete(),
        };
        Ok(Some(ReplyPiece::Value { depth, kind, line: &rest[..used - 2], len: 1 + used, ends }))
    }

    /// Goes inside of an aggregate of `n` values. Answers whether the reply ends there,
    /// because it is empty.
    fn open(&mut self, n: u64, attribute: bool, limits: &ReplyLimits) -> Result<bool, Reason> {
        if n == 0 {
            self.attributed = attribute;
            return Ok(!attribute && self.complete());
        }
        if self.open.len() >= limits.depth {
            return Err(Reason::TooDeep);
        }
        self.open.push(Open { left: n, attribute });
        Ok(false)
    }

    /// A value is complete, and perhaps the aggregates that it was the last of. Answers whether
    /// the reply is.
    fn complete(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            open.left -= 1;
            if open.left > 0 {
                return false;
            }
            let attribute = open.attribute;
            self.open.pop();
            if attribute {
                self.attributed = true;
                return false;
            }
        }
        true
    }
}

/// Reads the line behind `tag`: the kind, and the bytes up to and including CR LF.
fn head(tag: u8, rest: &[u8], limits: &ReplyLimits) -> Result<Option<(Kind, usize)>, Reason> {
    let sized = |kind: fn(u64) -> Kind| Ok(length(rest)?.map(|(n, used)| (kind(n), used)));
    let nullable = |kind: fn(u64) -> Kind| {
        Ok(match integer(rest)? {
            None => None,
            Some((-1, used)) => Some((Kind::Null, used)),
            Some((n, used)) => {
                Some((kind(u64::try_from(n).map_err(|_| Reason::NegativeLength)?), used))
            }
        })
    };
    match tag {
        b'+' => Ok(line(rest, limits)?.map(|used| (Kind::Simple, used))),
        b'-' => Ok(line(rest, limits)?.map(|used| (Kind::Error, used))),
        b':' => Ok(integer(rest)?.map(|(_, used)| (Kind::Integer, used))),
        b'$' => nullable(Kind::Bulk),
        b'*' => nullable(Kind::Array),
        b'_' => checked(rest, limits, Kind::Null, <[u8]>::is_empty),
        b'#' => checked(rest, limits, Kind::Boolean, |v| matches!(v, b"t" | b"f")),
        b',' => checked(rest, limits, Kind::Double, is_double),
        b'(' => checked(rest, limits, Kind::BigNumber, is_big_number),
        b'!' => sized(Kind::BulkError),
        b'=' => sized(Kind::Verbatim),
        b'%' => sized(Kind::Map),
        b'~' => sized(Kind::Set),
        b'>' => sized(Kind::Push),
        b'|' => sized(Kind::Attribute),
        _ => Err(Reason::UnknownType),
    }
}

/// The length of the line at the start of `buf`, CR LF included.
fn line(buf: &[u8], limits: &ReplyLimits) -> Result<Option<usize>, Reason> {
    match memchr::memchr2(b'\r', b'\n', buf) {
        Some(end) if end + 3 > limits.line_bytes => Err(Reason::LineTooLong),
        Some(end) => Ok(crlf(&buf[end..])?.then_some(end + 2)),
        None if buf.len() + 3 > limits.line_bytes => Err(Reason::LineTooLong),
        None => Ok(None),
    }
}

/// A line whose text must be of a form.
fn checked(
    rest: &[u8],
    limits: &ReplyLimits,
    kind: Kind,
    is: impl Fn(&[u8]) -> bool,
) -> Result<Option<(Kind, usize)>, Reason> {
    match line(rest, limits)? {
        Some(used) if is(&rest[..used - 2]) => Ok(Some((kind, used))),
        Some(_) => Err(Reason::BadValue),
        None => Ok(None),
    }
}

fn is_double(text: &[u8]) -> bool {
    let number = |t: &[u8]| {
        t.iter().any(u8::is_ascii_digit)
            && t.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    };
    matches!(text, b"inf" | b"-inf" | b"nan" | b"-nan") || number(text)
}

fn is_big_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// How many values `n` pairs are.
fn pairs(n: u64) -> Result<u64, Reason> {
    n.checked_mul(2).ok_or(Reason::NumberOverflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReplyLimits = ReplyLimits { depth: 4, line_bytes: 64, bulk_bytes: 512 << 20 };

    type Seen = (Vec<(usize, Kind)>, Vec<usize>);

    /// Reads `raw` as it would come in slices of `step` bytes: the kinds at each depth, and
    /// where replies end.
    fn read(raw: &[u8], step: usize) -> Result<Seen, Reason> {
        let mut stream = ReplyStream::default();
        let (mut at, mut have) = (0, 0);
        let (mut values, mut ends) = (Vec::new(), Vec::new());
        loop {
            match stream.next(&raw[at..have], &LIMITS)? {
                ReplyPiece::Partial if have == raw.len() => return Ok((values, ends)),
                ReplyPiece::Partial => have = raw.len().min(have + step),
                ReplyPiece::Value { depth, kind, len, ends: end, .. } => {
                    at += len;
                    values.push((depth, kind));
                    ends.extend(end.then_some(at));
                }
                ReplyPiece::Data { len, ends: end, .. } => {
                    at += len;
                    ends.extend(end.then_some(at));
                }
            }
            assert_eq!(stream.at_boundary(), ends.last().copied().unwrap_or(0) == at);
        }
    }

    fn same_over_any_cut(raw: &[u8]) -> Seen {
        let whole = read(raw, raw.len()).unwrap();
        for step in 1..raw.len() {
            assert_eq!(read(raw, step).unwrap(), whole, "in slices of {step}");
        }
        whole
    }

    #[test]
    fn resp2() {
        let raw = b"+OK\r\n-ERR x\r\n:-5\r\n$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n*2\r\n$2\r\n\r\n\r\n*1\r\n:1\r\n";
        let (values, ends) = same_over_any_cut(raw);
        let expected = [
            (0, Kind::Simple),
            (0, Kind::Error),
            (0, Kind::Integer),
            (0, Kind::Null),
            (0, Kind::Bulk(0)),
            (0, Kind::Null),
            (0, Kind::Array(0)),
            (0, Kind::Array(2)),
            (1, Kind::Bulk(2)),
            (1, Kind::Array(1)),
            (2, Kind::Integer),
        ];
        assert_eq!(values, expected);
        assert_eq!(ends, [5, 13, 18, 23, 29, 34, 38, raw.len()]);
    }

    #[test]
    fn resp3() {
        let raw = b"_\r\n#t\r\n,-1.5e3\r\n,inf\r\n(-123\r\n!5\r\nERR x\r\n=6\r\ntxt:hi\r\n\
            %1\r\n+k\r\n~1\r\n:1\r\n>2\r\n+a\r\n+b\r\n|1\r\n+ttl\r\n:9\r\n*1\r\n|1\r\n+x\r\n*0\r\n:3\r\n";
        let (values, ends) = same_over_any_cut(raw);
        assert_eq!(ends.len(), 10);
        assert_eq!(ends.last(), Some(&raw.len()));
        assert_eq!(values[7..10], [(0, Kind::Map(1)), (1, Kind::Simple), (1, Kind::Set(1))]);
        assert_eq!(values[values.len() - 2..], [(2, Kind::Array(0)), (1, Kind::Integer)]);
    }

    #[test]
    fn bulk_content_is_told_apart_from_framing() {
        let mut stream = ReplyStream::default();
        let raw = b"$3\r\nabc\r\n";
        assert!(matches!(
            stream.next(raw, &LIMITS),
            Ok(ReplyPiece::Value { kind: Kind::Bulk(3), len: 4, ends: false, line: b"3", .. })
        ));
        let part = ReplyPiece::Data { content: 2, len: 2, ends: false };
        assert_eq!(stream.next(&raw[4..6], &LIMITS), Ok(part));
        let part = ReplyPiece::Data { content: 1, len: 1, ends: false };
        assert_eq!(stream.next(&raw[6..8], &LIMITS), Ok(part));
        assert_eq!(stream.next(&raw[7..8], &LIMITS), Ok(ReplyPiece::Partial));
        let part = ReplyPiece::Data { content: 0, len: 2, ends: true };
        assert_eq!(stream.next(&raw[7..9], &LIMITS), Ok(part));
    }

    #[test]
    fn refuses_at_the_first_bad_byte() {
        let long = [b"+".as_slice(), &[b'x'; 62]].concat();
        let cases: [(&[u8], Reason); 17] = [
            (b"H", Reason::UnknownType),
            (b"+a\n", Reason::LineEnding),
            (b"+a\rb", Reason::LineEnding),
            (b":+", Reason::BadNumber),
            (b":01", Reason::BadNumber),
            (b"$-2\r\n", Reason::NegativeLength),
            (b"$?", Reason::StreamedType),
            (b"*?", Reason::StreamedType),
            (b"%-", Reason::NegativeLength),
            (b"$536870913\r\n", Reason::BulkTooLarge),
            (b"$1\r\nab", Reason::LineEnding),
            (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", Reason::TooDeep),
            (b"#x\r\n", Reason::BadValue),
            (b"_x\r\n", Reason::BadValue),
            (b",x\r\n", Reason::BadValue),
            (b"*1\r\n>1\r\n", Reason::MisplacedPush),
            (&long, Reason::LineTooLong),
        ];
        for (raw, reason) in cases {
            for step in [1, raw.len()] {
                assert_eq!(read(raw, step), Err(reason), "{:?}", String::from_utf8_lossy(raw));
            }
        }
        assert!(read(b"%9223372036854775807\r\n", 99).is_ok());
    }
}
