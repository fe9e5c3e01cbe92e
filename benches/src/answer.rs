//! Reading answers whole and comparing every byte: a proxy that is fast because it is wrong must not win.

/// The answer that a request must have.
#[derive(Debug, Clone)]
pub enum Expected {
    /// An HTTP/1.1 response with status 200, a `Content-Length` of this body's length, and this body.
    Http(Vec<u8>),
    /// Exactly these bytes.
    Exact(Vec<u8>),
}

/// What was wrong with an answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Wrong {
    /// The status line is not that of a 200.
    #[error("status line {0:?}")]
    Status(String),
    /// `Content-Length` is missing or not the expected one.
    #[error("length {found:?} where {expected} was expected")]
    Length {
        /// What the head said.
        found: Option<u64>,
        /// What it should have said.
        expected: u64,
    },
    /// A response head that does not end within 16 KiB.
    #[error("endless head")]
    Head,
    /// A byte of the body or reply differs.
    #[error("content differs within bytes {from} to {to}")]
    Content {
        /// Where the differing chunk starts.
        from: usize,
        /// Where it ends.
        to: usize,
    },
    /// More bytes came than were asked for.
    #[error("{0} bytes after the answer")]
    Excess(usize),
    /// The connection ended within the answer.
    #[error("connection closed after {0} bytes of content")]
    Closed(usize),
}

/// Progress through one answer; made anew for each.
#[derive(Debug, Default)]
pub struct Reading {
    head: Vec<u8>,
    content: usize,
    head_done: bool,
}

const HEAD_LIMIT: usize = 16 * 1024;

impl Reading {
    /// Forgets the answer that was read, keeping the space.
    pub fn reset(&mut self) {
        self.head.clear();
        self.content = 0;
        self.head_done = false;
    }

    /// Bytes of content seen so far.
    pub fn content(&self) -> usize {
        self.content
    }

    /// Takes the bytes that have come and says whether the answer is complete.
    ///
    /// # Errors
    /// If they are not the expected ones.
    pub fn feed(&mut self, chunk: &[u8], expected: &Expected) -> Result<bool, Wrong> {
        match expected {
            Expected::Exact(body) => self.compare(chunk, body),
            Expected::Http(body) if self.head_done => self.compare(chunk, body),
            Expected::Http(body) => self.head(chunk, body),
        }
    }

    fn head(&mut self, chunk: &[u8], body: &[u8]) -> Result<bool, Wrong> {
        let known = self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(HEAD_LIMIT)]);
        let from = known.saturating_sub(3);
        let Some(end) = memchr::memmem::find(&self.head[from..], b"\r\n\r\n") else {
            return if self.head.len() >= HEAD_LIMIT { Err(Wrong::Head) } else { Ok(false) };
        };
        let end = from + end + 4;
        check_head(&self.head[..end], body.len() as u64)?;
        self.head_done = true;
        self.compare(&chunk[end - known..], body)
    }

    fn compare(&mut self, chunk: &[u8], body: &[u8]) -> Result<bool, Wrong> {
        let (from, to) = (self.content, self.content + chunk.len());
        let part = body.get(from..to).ok_or_else(|| Wrong::Excess(to - body.len()))?;
        if part != chunk {
            return Err(Wrong::Content { from, to });
        }
        self.content = to;
        Ok(to == body.len())
    }
}

fn check_head(head: &[u8], expected: u64) -> Result<(), Wrong> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(Wrong::Status(status.to_owned()));
    }
    let found = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    if found == Some(expected) { Ok(()) } else { Err(Wrong::Length { found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\n\r\nbody";

    fn expect_body() -> Expected {
        Expected::Http(b"body".to_vec())
    }

    #[test]
    fn a_response_is_whole_at_its_last_byte_however_it_is_cut() {
        for size in 1..=RESPONSE.len() {
            let mut reading = Reading::default();
            let mut chunks = RESPONSE.chunks(size).peekable();
            while let Some(chunk) = chunks.next() {
                let whole = reading.feed(chunk, &expect_body()).unwrap();
                assert_eq!(whole, chunks.peek().is_none(), "in chunks of {size}");
            }
        }
    }

    #[test]
    fn wrong_answers_are_found() {
        let feed = |bytes: &[u8]| Reading::default().feed(bytes, &expect_body());
        assert!(matches!(feed(b"HTTP/1.1 403 Forbidden\r\n\r\n"), Err(Wrong::Status(_))));
        assert!(matches!(feed(b"HTTP/1.1 200 OK\r\n\r\nbody"), Err(Wrong::Length { .. })));
        let other = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nb0dy";
        assert_eq!(feed(other), Err(Wrong::Content { from: 0, to: 4 }));
        let more = [RESPONSE, b"!"].concat();
        assert_eq!(feed(&more), Err(Wrong::Excess(1)));
        assert_eq!(feed(&[b'a'; HEAD_LIMIT]), Err(Wrong::Head));
    }

    #[test]
    fn exact_answers_and_reuse() {
        let expected = Expected::Exact(b"$2\r\nhi\r\n".to_vec());
        let mut reading = Reading::default();
        assert_eq!(reading.feed(b"$2\r\n", &expected), Ok(false));
        assert_eq!(reading.feed(b"hi\r\n", &expected), Ok(true));
        reading.reset();
        assert_eq!(reading.feed(b"$2\r\nhi\r\n", &expected), Ok(true));
        reading.reset();
        assert!(reading.feed(b"-ERR\r\n", &expected).is_err());
    }
}
