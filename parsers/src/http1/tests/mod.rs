//! A reader over whole streams, and what it must say.

mod reasons;
mod slicing;
mod valid;

use super::*;

/// What a reader sees of a stream, with adjoining content joined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Head(Vec<u8>),
    Data(Vec<u8>),
    Framing(Vec<u8>),
    Trailers(Vec<u8>),
    End,
    Error(Reason),
}

/// Reads a stream of messages of one leg as a session would, from a buffer that grows.
struct Reader {
    kind: HeadKind,
    limit: usize,
    buf: Vec<u8>,
    scan: HeadScan,
    body: Option<Body>,
    events: Vec<Event>,
}

impl Reader {
    fn new(kind: HeadKind, limit: usize) -> Self {
        Self { kind, limit, buf: vec![], scan: HeadScan::default(), body: None, events: vec![] }
    }

    fn push(&mut self, bytes: &[u8]) {
        if matches!(self.events.last(), Some(Event::Error(_))) {
            return;
        }
        self.buf.extend_from_slice(bytes);
        while match self.step() {
            Ok(more) => more,
            Err(reason) => {
                self.events.push(Event::Error(reason));
                false
            }
        } {}
    }

    fn step(&mut self) -> Result<bool, Reason> {
        let Some(body) = &mut self.body else { return self.head() };
        let (event, len) = match body.next(&self.buf, self.limit)? {
            BodyPart::Partial => return Ok(false),
            BodyPart::Data(n) => (Event::Data(self.buf[..n].to_vec()), n),
            BodyPart::Framing(n) => (Event::Framing(self.buf[..n].to_vec()), n),
            BodyPart::Trailers { len, .. } => (Event::Trailers(self.buf[..len].to_vec()), len),
            BodyPart::End => (Event::End, 0),
        };
        self.buf.drain(..len);
        if event == Event::End {
            self.body = None;
        }
        match (self.events.last_mut(), event) {
            (Some(Event::Data(all)), Event::Data(more)) => all.extend(more),
            (_, event) => self.events.push(event),
        }
        Ok(true)
    }

    fn head(&mut self) -> Result<bool, Reason> {
        let Some(len) = self.scan.find(&self.buf, self.kind, self.limit)? else {
            return Ok(false);
        };
        let head: Vec<u8> = self.buf.drain(..len).collect();
        self.body = Some(match self.kind {
            HeadKind::Request => request(&head)?.body.into(),
            HeadKind::Response => response(&head, RequestKind::Normal)?.body.into(),
        });
        self.scan = HeadScan::default();
        self.events.push(Event::Head(head));
        Ok(true)
    }
}

fn read<'a>(kind: HeadKind, limit: usize, parts: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut reader = Reader::new(kind, limit);
    parts.for_each(|part| reader.push(part));
    reader.events
}

fn whole(kind: HeadKind, bytes: &[u8]) -> Vec<Event> {
    read(kind, 65536, std::iter::once(bytes))
}

/// The error that a stream of this kind ends in.
fn error(kind: HeadKind, bytes: &[u8]) -> Option<Reason> {
    match whole(kind, bytes).pop() {
        Some(Event::Error(reason)) => Some(reason),
        _ => None,
    }
}
