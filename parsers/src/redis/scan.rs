//! Finding the end of a command that is held whole.

use super::number::{crlf, integer, length, to_usize};
use super::{Command, Reason};

/// The most arguments that the server takes (`INT_MAX` in `processMultibulkBuffer`).
pub(super) const MAX_ARGS: i64 = i32::MAX as i64;

/// The least bytes that an argument takes: `$0`, CR LF, CR LF.
const LEAST_ARG: usize = 6;

/// Finds the end of one command, an array of bulk strings, in a buffer that grows from call to
/// call. Bulk strings are skipped by count; no byte is looked at twice but those of a header
/// that is cut. Make a new one for each command.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandScan {
    /// Where the next unread item begins; may lie past what has come.
    at: usize,
    /// Where the first argument begins; 0 until the array's header is read.
    first: u32,
    /// Arguments to come.
    left: u32,
    argc: u32,
    /// A bulk string's content has been skipped and its CR LF is due.
    ending: bool,
}

impl CommandScan {
    /// Looks on. `buf` begins with the command's first byte and has at least the bytes of the
    /// call before; `bulk_limit` bounds each argument (`proto-max-bulk-len`).
    ///
    /// An empty array, a null array and an empty line are complete commands without arguments:
    /// the server passes over them.
    ///
    /// # Errors
    /// The first thing that makes it no command, as soon as the byte that does so has come.
    pub fn find<'a>(
        &mut self,
        buf: &'a [u8],
        bulk_limit: u64,
    ) -> Result<Option<Command<'a>>, Reason> {
        if self.first == 0 && !self.header(buf)? {
            return Ok(None);
        }
        while self.ending || self.left > 0 {
            let Some(rest) = buf.get(self.at..) else { return Ok(None) };
            if !self.step(rest, bulk_limit)? {
                return Ok(None);
            }
        }
        Ok(buf.get(..self.at).map(|raw| Command::scanned(raw, self.argc, self.first)))
    }

    /// The least bytes that the command has, as far as it has been read.
    pub fn at_least(&self) -> usize {
        let to_come = to_usize(u64::from(self.left)).saturating_mul(LEAST_ARG);
        self.at.saturating_add(to_come).saturating_add(if self.ending { 2 } else { 0 })
    }

    /// How many arguments it has, once that is known.
    pub fn argc(&self) -> Option<u32> {
        (self.first > 0).then_some(self.argc)
    }

    /// Reads the array's header. Answers whether it is complete.
    fn header(&mut self, buf: &[u8]) -> Result<bool, Reason> {
        let (argc, used) = match buf {
            [] => return Ok(false),
            [b'*', rest @ ..] => match integer(rest)? {
                Some((n, used)) => (args(n)?, 1 + used),
                None => return Ok(false),
            },
            [b'\r', ..] if crlf(buf)? => (0, 2),
            [b'\r'] => return Ok(false),
            _ => return Err(Reason::ExpectedArray),
        };
        self.argc = argc;
        self.left = argc;
        self.at = used;
        self.first = u32::try_from(used).map_err(|_| Reason::NumberOverflow)?;
        Ok(true)
    }

    /// Reads one bulk string's header, or the CR LF behind its content. Answers whether it
    /// was there.
    fn step(&mut self, rest: &[u8], bulk_limit: u64) -> Result<bool, Reason> {
        if self.ending {
            if !crlf(rest)? {
                return Ok(false);
            }
            self.at += 2;
            self.ending = false;
            return Ok(true);
        }
        let Some((size, used)) = bulk(rest, bulk_limit)? else { return Ok(false) };
        self.at = self.at.saturating_add(used).saturating_add(to_usize(size));
        self.left -= 1;
        self.ending = true;
        Ok(true)
    }
}

/// The number of arguments that an array's header says. Null (`*-1`) is none.
pub(super) fn args(n: i64) -> Result<u32, Reason> {
    match n {
        -1 => Ok(0),
        _ if n > MAX_ARGS => Err(Reason::TooManyElements),
        _ => u32::try_from(n).map_err(|_| Reason::NegativeLength),
    }
}

/// Reads `$`, the size and CR LF of an argument: the size and the header's length.
pub(super) fn bulk(buf: &[u8], limit: u64) -> Result<Option<(u64, usize)>, Reason> {
    match buf {
        [] => Ok(None),
        [b'$', rest @ ..] => match length(rest)? {
            Some((size, _)) if size > limit => Err(Reason::BulkTooLarge),
            Some((size, used)) => Ok(Some((size, 1 + used))),
            None => Ok(None),
        },
        _ => Err(Reason::ExpectedBulk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 512 << 20;

    fn whole(buf: &[u8]) -> Result<Option<usize>, Reason> {
        CommandScan::default().find(buf, LIMIT).map(|c| c.map(|c| c.raw().len()))
    }

    #[test]
    fn finds_the_end_over_any_cut() {
        let raw = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n";
        let mut grown = CommandScan::default();
        for cut in 0..raw.len() {
            assert_eq!(whole(&raw[..cut]), Ok(None), "cut at {cut}");
            assert_eq!(grown.find(&raw[..cut], LIMIT).map(|c| c.is_some()), Ok(false));
            assert!(grown.at_least() <= raw.len());
        }
        assert_eq!(grown.find(raw, LIMIT).map(|c| c.map(|c| c.argc())), Ok(Some(3)));
        let mut more = raw.to_vec();
        more.extend_from_slice(b"*1\r\n");
        assert_eq!(whole(&more), Ok(Some(raw.len())));
    }

    #[test]
    fn nothing_between_commands_is_passed_over() {
        for (raw, len) in [(&b"*0\r\n*1"[..], 4), (b"*-1\r\n", 5), (b"\r\n\r\n", 2)] {
            assert_eq!(whole(raw), Ok(Some(len)), "{raw:?}");
        }
    }

    #[test]
    fn refuses_at_the_first_bad_byte() {
        let cases: [(&[u8], Reason); 14] = [
            (b"P", Reason::ExpectedArray),
            (b"\n", Reason::ExpectedArray),
            (b"\rx", Reason::LineEnding),
            (b"*+", Reason::BadNumber),
            (b"*01", Reason::BadNumber),
            (b"*-2\r\n", Reason::NegativeLength),
            (b"*2147483648\r\n", Reason::TooManyElements),
            (b"*92233720368547758070", Reason::NumberOverflow),
            (b"*1\r\n:", Reason::ExpectedBulk),
            (b"*1\r\n$-", Reason::NegativeLength),
            (b"*1\r\n$536870913\r\n", Reason::BulkTooLarge),
            (b"*1\r\n$4\r\nPINGx", Reason::LineEnding),
            (b"*1\r\n$4\n", Reason::LineEnding),
            (b"*1\r\n$4\r\nPING\n", Reason::LineEnding),
        ];
        for (raw, reason) in cases {
            assert_eq!(whole(raw), Err(reason), "{:?}", String::from_utf8_lossy(raw));
            let shorter = &raw[..raw.len() - 1];
            assert_eq!(whole(shorter), Ok(None), "{:?}", String::from_utf8_lossy(shorter));
        }
    }

    #[test]
    fn says_how_long_it_will_be_at_least() {
        let mut scan = CommandScan::default();
        assert_eq!(scan.find(b"*1000\r\n", LIMIT).map(|c| c.is_some()), Ok(false));
        assert_eq!(scan.at_least(), 7 + 6 * 1000);
        assert!(std::mem::size_of::<CommandScan>() <= 32);
    }
}
