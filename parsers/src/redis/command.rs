//! A complete command, borrowed from the buffer.

use super::{CommandScan, Reason};

/// A complete command. Its arguments are found by walking; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    raw: &'a [u8],
    argc: u32,
    first: u32,
}

impl<'a> Command<'a> {
    /// Reads `raw`, which must be one command and nothing else.
    ///
    /// # Errors
    /// What makes it none; [`Reason::Truncated`] where bytes are missing and
    /// [`Reason::TrailingBytes`] where some follow.
    pub fn new(raw: &'a [u8]) -> Result<Self, Reason> {
        let command = CommandScan::default().find(raw, u64::MAX)?.ok_or(Reason::Truncated)?;
        if command.raw.len() < raw.len() {
            return Err(Reason::TrailingBytes);
        }
        Ok(command)
    }

    /// A command that a scan has found.
    pub(super) fn scanned(raw: &'a [u8], argc: u32, first: u32) -> Self {
        Self { raw, argc, first }
    }

    /// Its bytes as they came.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// How many arguments it has, its name included. None for an empty command.
    pub fn argc(&self) -> usize {
        self.argc as usize
    }

    /// Its arguments in order, its name first.
    pub fn args(&self) -> Args<'a> {
        Args { rest: self.raw.get(self.first as usize..).unwrap_or_default(), left: self.argc }
    }

    /// The argument at `index`; the name is 0.
    pub fn arg(&self, index: usize) -> Option<&'a [u8]> {
        self.args().nth(index)
    }
}

/// The arguments of a [`Command`].
#[derive(Clone, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        // The scan has held the header to its form; here only the digits matter.
        let mut size = 0usize;
        let mut at = 1;
        while let Some(digit @ b'0'..=b'9') = self.rest.get(at) {
            size = size.wrapping_mul(10).wrapping_add(usize::from(digit - b'0'));
            at += 1;
        }
        let start = at + 2;
        let end = start.checked_add(size)?;
        let arg = self.rest.get(start..end)?;
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        Some(arg)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_walked() {
        let raw = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n";
        let command = Command::new(raw).unwrap();
        assert_eq!(command.argc(), 3);
        assert_eq!(command.args().collect::<Vec<_>>(), [&b"SET"[..], b"", b"a\r\nbc"]);
        assert_eq!(command.arg(2), Some(&b"a\r\nbc"[..]));
        assert_eq!(command.arg(3), None);
        assert_eq!(command.raw(), raw);
    }

    #[test]
    fn one_command_and_nothing_else() {
        assert_eq!(Command::new(b"*1\r\n$4\r\nPING").unwrap_err(), Reason::Truncated);
        assert_eq!(Command::new(b"*1\r\n$4\r\nPING\r\n*").unwrap_err(), Reason::TrailingBytes);
        assert_eq!(Command::new(b"*0\r\n").unwrap().args().count(), 0);
    }
}
