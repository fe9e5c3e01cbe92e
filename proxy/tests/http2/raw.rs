//! A peer that sends whatever frames a test wants, and reads those that come.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::frames::*;
use crate::support::connect;

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A field section, with the flags of its HEADERS frame.
    Head {
        stream: u32,
        flags: u8,
        fields: Vec<(String, String)>,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        length: usize,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    Settings {
        ack: bool,
        payload: Vec<u8>,
    },
    Ping {
        ack: bool,
        payload: Vec<u8>,
    },
    GoAway {
        last: u32,
        code: u32,
    },
    Window {
        stream: u32,
        by: u32,
    },
    Other {
        kind: u8,
    },
    /// The connection ended.
    End,
}

impl Event {
    fn stream(&self) -> Option<u32> {
        match self {
            Self::Head { stream, .. } | Self::Data { stream, .. } | Self::Reset { stream, .. } => {
                Some(*stream)
            }
            _ => None,
        }
    }
}

/// A whole answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The error code of the reset that ended it.
    pub(crate) reset: Option<u32>,
    /// How many frames it had.
    pub(crate) frames: usize,
}

impl Answer {
    /// A field of the head or the trailers.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.fields.iter().chain(&self.trailers);
        all.rev().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }
}

/// One end of a connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    decoder: fluke_hpack::Decoder<'static>,
    waiting: VecDeque<Event>,
    /// Whether DATA is followed by WINDOW_UPDATEs, SETTINGS and PINGs by their ACKs.
    pub(crate) polite: bool,
    /// Whether the peer has sent its SETTINGS, as it must before all else.
    greeted: bool,
    /// How much the peer still takes on the connection.
    pub(crate) window: i64,
}

impl Raw {
    /// A client that has said hello with these settings.
    pub(crate) fn connect(at: SocketAddr, with: &[(u16, u32)]) -> Self {
        let mut raw = Self::bare(at);
        raw.greet(with);
        raw
    }

    /// Says hello, with these settings.
    pub(crate) fn greet(&mut self, with: &[(u16, u32)]) {
        self.stream.write_all(PREFACE).unwrap();
        self.send(SETTINGS, 0, 0, &settings(with));
    }

    /// A client that has said nothing yet.
    pub(crate) fn bare(at: SocketAddr) -> Self {
        Self::new(connect(at))
    }

    /// A server that was said hello to, and has answered with these settings.
    pub(crate) fn accept(stream: TcpStream, with: &[(u16, u32)]) -> Option<Self> {
        let mut raw = Self::new(stream);
        let mut preface = [0; PREFACE.len()];
        raw.stream.read_exact(&mut preface).ok()?;
        assert_eq!(preface, PREFACE);
        raw.send(SETTINGS, 0, 0, &settings(with));
        Some(raw)
    }

    fn new(stream: TcpStream) -> Self {
        let decoder = fluke_hpack::Decoder::new();
        Self {
            stream,
            decoder,
            waiting: VecDeque::new(),
            polite: true,
            greeted: false,
            window: 65_535,
        }
    }

    /// Sends a frame. What cannot be sent is seen when the connection's end is read.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        if kind == DATA {
            self.window -= i64::try_from(payload.len()).unwrap();
        }
        self.stream.write_all(&frame(kind, flags, stream, payload)).is_ok()
    }

    /// Sends a field section in as many frames as it needs.
    pub(crate) fn head(&mut self, stream: u32, block: &[u8], end: bool) -> bool {
        let mut parts = block.chunks(16_384).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let mut flags = if end && kind == HEADERS { END_STREAM } else { 0 };
            flags |= if parts.peek().is_none() { END_HEADERS } else { 0 };
            if !self.send(kind, flags, stream, part) {
                return false;
            }
            kind = CONTINUATION;
        }
        true
    }

    /// A request without a body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.head(stream, &block(&request("GET", path, &[])), true);
    }

    /// The head of a request with a body.
    pub(crate) fn post(&mut self, stream: u32, path: &str) {
        self.head(stream, &block(&request("POST", path, &[])), false);
    }

    /// The first event that is wanted, or the end. Those before it wait.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        if let Some(index) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(index).unwrap();
        }
        loop {
            let event = self.read();
            if event == Event::End || wanted(&event) {
                return event;
            }
            self.waiting.push_back(event);
        }
    }

    /// Reads an answer to its end.
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let event = self.until(|event| event.stream() == Some(stream));
            answer.frames += 1;
            match event {
                Event::Head { flags, fields, .. } => {
                    if let Some((_, status)) = fields.iter().find(|(name, _)| name == ":status") {
                        answer.status.clone_from(status);
                        answer.fields = fields;
                    } else {
                        answer.trailers = fields;
                    }
                    if flags & END_STREAM != 0 {
                        return answer;
                    }
                }
                Event::Data { bytes, end, .. } => {
                    answer.body.extend(bytes);
                    if end {
                        return answer;
                    }
                }
                Event::Reset { code, .. } => {
                    answer.reset = Some(code);
                    return answer;
                }
                _ => panic!("stream {stream} ended with the connection: {answer:?}"),
            }
        }
    }

    /// The error code of the GOAWAY that comes; none if the connection ends without it.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        match self.until(|event| matches!(event, Event::GoAway { .. })) {
            Event::GoAway { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Waits until the connection has room for so many bytes, and says whether it ever had.
    pub(crate) fn room(&mut self, bytes: i64) -> bool {
        while self.window < bytes {
            let event = self.read();
            if event == Event::End {
                return false;
            }
            self.waiting.push_back(event);
        }
        true
    }

    /// Waits until the peer has read all that was sent so far.
    pub(crate) fn settle(&mut self, mark: u8) {
        let payload = vec![mark; 8];
        self.send(PING, 0, 0, &payload);
        let pong =
            self.until(|event| *event == Event::Ping { ack: true, payload: payload.clone() });
        assert_ne!(pong, Event::End, "the connection ended before the ping's answer");
    }

    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some((kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff, payload))
    }

    /// The next frame of the connection, with what follows it if it is a field section.
    fn read(&mut self) -> Event {
        let Some((kind, flags, stream, payload)) = self.frame() else { return Event::End };
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        assert!(self.greeted || kind == SETTINGS, "a frame of type {kind} before SETTINGS");
        self.greeted = true;
        match kind {
            HEADERS => self.fields(stream, flags, payload),
            DATA => {
                let (length, end) = (payload.len(), flags & END_STREAM != 0);
                if self.polite && length > 0 {
                    let by = u32::try_from(length).unwrap().to_be_bytes();
                    self.send(WINDOW_UPDATE, 0, 0, &by);
                    if !end {
                        self.send(WINDOW_UPDATE, 0, stream, &by);
                    }
                }
                Event::Data { stream, bytes: unpadded(flags, payload), length, end }
            }
            RST_STREAM => Event::Reset { stream, code: number(0) },
            SETTINGS | PING => {
                let ack = flags & ACK != 0;
                if self.polite && !ack {
                    let echo = if kind == PING { &payload[..] } else { &[] };
                    self.send(kind, ACK, 0, echo);
                }
                if kind == PING {
                    Event::Ping { ack, payload }
                } else {
                    Event::Settings { ack, payload }
                }
            }
            GOAWAY => Event::GoAway { last: number(0), code: number(4) },
            WINDOW_UPDATE => {
                self.window += if stream == 0 { i64::from(number(0)) } else { 0 };
                Event::Window { stream, by: number(0) }
            }
            kind => Event::Other { kind },
        }
    }

    fn fields(&mut self, stream: u32, mut flags: u8, payload: Vec<u8>) -> Event {
        let mut block = unpadded(flags, payload);
        if flags & PRIORITIZED != 0 {
            block.drain(..5);
        }
        while flags & END_HEADERS == 0 {
            let Some((kind, more, next, payload)) = self.frame() else { return Event::End };
            assert_eq!((kind, next), (CONTINUATION, stream));
            block.extend(payload);
            flags |= more & END_HEADERS;
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = self.decoder.decode(&block).expect("a field section");
        let fields = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        Event::Head { stream, flags, fields }
    }
}

/// What is in a frame beside its padding.
fn unpadded(flags: u8, mut payload: Vec<u8>) -> Vec<u8> {
    if flags & PADDED != 0 {
        let padding: usize = payload.remove(0).into();
        payload.truncate(payload.len() - padding);
    }
    payload
}
