//! Two HTTP/2 peers whose steps the bytes of an input choose, and what the policy of the fuzz
//! targets says of their requests, told a second time and simply.

use std::collections::{BTreeSet, VecDeque};

use weir_parsers::http2::hpack::{Encoder, Field, Representation, SizeUpdate, encode_plain};
use weir_parsers::http2::{FrameHeader, FrameKind, PREFACE, flag, setting};

const HTTP: u16 = 8080;
const GRPC: u16 = 9090;

/// What a request may ask for.
const ASKED: [(&str, &str); 12] = [
    ("GET", "/carts/7"),
    ("POST", "/carts/7/items"),
    ("GET", "/carts/12?x=1"),
    ("POST", "/shop.Cart/AddItem"),
    ("GET", "/carts/13"),
    ("GET", "/carts/%31%33"),
    ("GET", "/admin"),
    ("POST", "/shop.Cart/Drop"),
    ("DELETE", "/carts/7"),
    ("GET", "/carts/7/../13"),
    ("POST", "/carts/7/items/"),
    ("GET", "/carts/7%2fitems"),
];

/// What the two peers send, in the order in which it arrives.
#[derive(Clone, Debug)]
pub struct Script {
    /// Bytes, each with whether they are the client's.
    pub runs: Vec<(bool, Vec<u8>)>,
    /// Everything that the client and the server send.
    pub sent: [Vec<u8>; 2],
    /// Every step was one that a peer may take.
    pub valid: bool,
    /// Streams whose request the policy refuses.
    pub refused: BTreeSet<u32>,
    /// Streams that one peer has reset, or that the server leaves to another connection: what is
    /// sent of them may cross with that.
    pub reset: BTreeSet<u32>,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    allowed: bool,
    answered: bool,
    /// No more comes, of the client and of the server.
    ended: [bool; 2],
}

#[derive(Debug)]
struct Peer {
    encoder: Encoder,
    started: bool,
    queue: Vec<u8>,
    /// Table sizes that the other one's SETTINGS allow and that are not acknowledged.
    offered: VecDeque<Option<u32>>,
}

struct Peers<'a> {
    input: &'a [u8],
    port: u16,
    most_table: u32,
    peers: [Peer; 2],
    streams: Vec<Stream>,
    /// The server leaves streams that begin now to another connection.
    left: bool,
    next: u32,
    script: Script,
}

/// The steps that an input says, on this port, where a table has at most so many bytes.
pub fn script(input: &[u8], port: u16, most_table: usize) -> Script {
    let peer = || Peer {
        encoder: Encoder::new(4096),
        started: false,
        queue: Vec::new(),
        offered: VecDeque::new(),
    };
    let mut peers = Peers {
        input,
        port,
        most_table: u32::try_from(most_table).unwrap_or(u32::MAX),
        peers: [peer(), peer()],
        streams: Vec::new(),
        left: false,
        next: 1,
        script: Script {
            runs: Vec::new(),
            sent: Default::default(),
            valid: true,
            refused: BTreeSet::new(),
            reset: BTreeSet::new(),
        },
    };
    peers.peers[0].queue.extend_from_slice(PREFACE);
    peers.settings(0);
    peers.settings(1);
    while !peers.input.is_empty() {
        peers.step();
    }
    peers.flush(0);
    peers.flush(1);
    peers.script
}

impl Peers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.input.split_first() else { return 0 };
        self.input = rest;
        first
    }

    fn step(&mut self) {
        let how = self.byte();
        let leg = usize::from(how >> 4 & 1);
        match how & 15 {
            0..=3 => self.request(),
            4 | 5 => self.data(leg),
            6 => self.answer(),
            7 => self.trailers(leg),
            8 => self.reset(leg),
            9 => self.window(leg),
            10 => self.settings(leg),
            11 => self.acknowledge(leg),
            12 => self.frame(leg, FrameKind::Ping, 0, 0, b"deadbeef"),
            13 => self.answer(),
            14 => self.other(leg),
            _ => self.raw(leg),
        }
        match how >> 5 {
            0..=3 => self.flush(leg),
            4 => self.flush(leg ^ 1),
            // Some of it, so that frames of the two cross.
            n => self.deliver(leg, usize::from(n - 4) * 7),
        }
    }

    fn deliver(&mut self, leg: usize, most: usize) {
        let queue = &mut self.peers[leg].queue;
        let bytes: Vec<u8> = queue.drain(..most.min(queue.len())).collect();
        if !bytes.is_empty() {
            self.script.sent[leg].extend_from_slice(&bytes);
            self.script.runs.push((leg == 0, bytes));
        }
    }

    fn flush(&mut self, leg: usize) {
        self.deliver(leg, usize::MAX);
    }

    fn frame(&mut self, leg: usize, kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) {
        let header = FrameHeader { length: payload.len(), kind, flags, stream };
        header.write(&mut self.peers[leg].queue);
        self.peers[leg].queue.extend_from_slice(payload);
    }

    /// A stream on which this leg may still send, if there is one.
    fn open(&mut self, leg: usize) -> Option<usize> {
        let at = usize::from(self.byte());
        let open = |stream: &Stream| !stream.ended[leg] && (leg == 0 || stream.allowed);
        let open: Vec<_> = (0..self.streams.len()).filter(|at| open(&self.streams[*at])).collect();
        let at = *open.get(at % open.len().max(1))?;
        if leg == 1 {
            // It knows only of what has arrived.
            self.flush(0);
        }
        Some(at)
    }

    fn request(&mut self) {
        let (what, how) = (self.byte(), self.byte());
        let (method, path) = ASKED[usize::from(what & 15) % ASKED.len()];
        let (method, path) = (method.as_bytes(), path.as_bytes());
        let content: &[u8] = match what >> 4 & 3 {
            0 => b"application/grpc",
            1 => b"application/grpc-web+proto",
            _ => b"text/plain",
        };
        let value = vec![b'a' + (how & 7); if what & 0x40 != 0 { 40 } else { 3 }];
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", method),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"cart.shop"),
            (b"content-type", content),
            (b"x-one", &value),
        ];
        if what & 0x80 != 0 {
            let long = match self.byte() {
                // Past what one frame holds; seldom, as each byte may be a read.
                size @ 250.. => vec![b'x'; usize::from(size) * 97],
                size => vec![b'x'; size.into()],
            };
            let name: &[u8] = match how & 3 {
                0 => b"x-http-method-override",
                _ => b"cookie",
            };
            fields.push((name, if how & 3 == 0 { b"PUT" } else { &long }));
            return self.ask(&fields, how);
        }
        self.ask(&fields, how);
    }

    fn ask(&mut self, fields: &[(&[u8], &[u8])], how: u8) {
        let (id, last) = (self.next, how & 8 != 0);
        if self.left {
            self.script.reset.insert(id);
        }
        self.next += if how & 0x80 != 0 { 6 } else { 2 };
        let asked = fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec(), false));
        let allowed = may(self.port, &asked.collect::<Vec<_>>());
        if !allowed {
            self.script.refused.insert(id);
        }
        self.streams.push(Stream { id, allowed, answered: false, ended: [last, false] });
        self.block(0, id, last, fields);
    }

    fn answer(&mut self) {
        let Some(at) = self.open(1) else { return };
        let how = self.byte();
        let stream = &mut self.streams[at];
        if stream.answered {
            return;
        }
        let interim = how & 7 == 0;
        let last = how & 8 != 0 && !interim;
        stream.answered = !interim;
        stream.ended[1] = last;
        let id = stream.id;
        let value = [b'0' + (how >> 4)];
        let fields: [(&[u8], &[u8]); 4] = [
            (b":status", if interim { b"103" } else { b"200" }),
            (b"content-type", if how & 1 == 0 { b"application/grpc" } else { b"text/plain" }),
            (b"x-two", &value),
            (b"set-cookie", b"secret"),
        ];
        self.block(1, id, last, &fields);
    }

    fn trailers(&mut self, leg: usize) {
        let Some(at) = self.open(leg) else { return };
        let stream = &mut self.streams[at];
        if leg == 1 && !stream.answered {
            return;
        }
        stream.ended[leg] = true;
        let id = stream.id;
        let value = [b'0' + self.byte() % 10];
        self.block(leg, id, true, &[(b"grpc-status", b"0"), (b"x-three", &value)]);
    }

    /// A field block, in representations and frames as the input says.
    fn block(&mut self, leg: usize, stream: u32, last: bool, fields: &[(&[u8], &[u8])]) {
        let (mut how, split) = (self.byte(), self.byte());
        let plain = how & 0x80 != 0;
        let fields: Vec<Field<'_>> = fields
            .iter()
            .map(|(name, value)| {
                let representation = match how & 3 {
                    0 | 1 => Representation::Incremental,
                    2 => Representation::Without,
                    _ => Representation::Never,
                };
                how = how.rotate_right(2);
                Field { name, value, representation }
            })
            .collect();
        let mut block = Vec::new();
        let peer = &mut self.peers[leg];
        if plain && peer.started {
            // Nothing may come before a size update that is due: the encoder has none then.
            encode_plain(fields.into_iter(), &mut block);
        } else {
            peer.encoder.encode(fields.into_iter(), &mut block);
            peer.started = true;
        }
        let mut flags = if last { flag::END_STREAM } else { 0 };
        let mut head = Vec::new();
        let padding = if split & 0x40 != 0 { 3 } else { 0 };
        if padding > 0 {
            flags |= flag::PADDED;
            head.push(padding);
        }
        if split & 0x80 != 0 {
            flags |= flag::PRIORITY;
            head.extend_from_slice(&[0, 0, 0, 0, 16]);
        }
        let most = match split & 0x3f {
            0..=31 => 16000,
            n => usize::from(n - 31) * block.len().div_ceil(64).max(1),
        };
        let (first, mut rest) = block.split_at(block.len().min(most));
        if rest.is_empty() {
            flags |= flag::END_HEADERS;
        }
        head.extend_from_slice(first);
        head.resize(head.len() + usize::from(padding), 0);
        self.frame(leg, FrameKind::Headers, flags, stream, &head);
        while !rest.is_empty() {
            let (next, after) = rest.split_at(rest.len().min(most));
            let flags = if after.is_empty() { flag::END_HEADERS } else { 0 };
            self.frame(leg, FrameKind::Continuation, flags, stream, next);
            rest = after;
        }
    }

    fn data(&mut self, leg: usize) {
        let Some(at) = self.open(leg) else { return };
        let how = self.byte();
        let stream = &mut self.streams[at];
        if leg == 1 && !stream.answered {
            return;
        }
        stream.ended[leg] = how & 1 != 0;
        let id = stream.id;
        let len = usize::from(how >> 2 & 7) * if how & 0x20 != 0 { 900 } else { 5 };
        let mut flags = how & flag::END_STREAM;
        let mut payload = Vec::new();
        if how & 2 != 0 {
            flags |= flag::PADDED;
            payload.push(how >> 6);
        }
        // Messages, as gRPC has them.
        payload.extend((0..len).map(|at| if at % 7 == 4 { 2 } else { 0 }));
        payload.resize(payload.len() + if how & 2 != 0 { usize::from(how >> 6) } else { 0 }, 0);
        self.frame(leg, FrameKind::Data, flags, id, &payload);
    }

    fn reset(&mut self, leg: usize) {
        let Some(at) = self.open(leg) else { return };
        let stream = &mut self.streams[at];
        stream.ended[leg] = true;
        let id = stream.id;
        self.script.reset.insert(id);
        self.frame(leg, FrameKind::RstStream, 0, id, &[0, 0, 0, 8]);
    }

    fn window(&mut self, leg: usize) {
        let id = match self.byte() & 1 {
            0 => 0,
            _ => match self.open(leg) {
                Some(at) => self.streams[at].id,
                None => 0,
            },
        };
        let by = [0, 0, 1, self.byte()];
        self.frame(leg, FrameKind::WindowUpdate, 0, id, &by);
    }

    fn settings(&mut self, leg: usize) {
        let how = self.byte();
        let mut payload = Vec::new();
        let mut say = |id: u16, value: u32| {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        };
        let table = match how & 7 {
            0..=2 => None,
            3 => Some(0),
            4 => Some(100),
            5 => Some(4096),
            6 => Some(300),
            _ => Some(100_000),
        };
        if let Some(table) = table {
            say(setting::HEADER_TABLE_SIZE, table);
        }
        if how & 8 != 0 {
            say(setting::INITIAL_WINDOW_SIZE, 1 << 20);
        }
        if how & 16 != 0 {
            say(setting::MAX_HEADER_LIST_SIZE, 1 << 20);
        }
        self.frame(leg, FrameKind::Settings, 0, 0, &payload);
        let table = table.map(|table| table.min(self.most_table));
        self.peers[leg ^ 1].offered.push_back(table);
    }

    /// Acknowledges the oldest SETTINGS of the other leg, and goes by them.
    fn acknowledge(&mut self, leg: usize) {
        self.flush(leg ^ 1);
        let more = self.byte();
        let peer = &mut self.peers[leg];
        let Some(table) = peer.offered.pop_front() else { return };
        if let Some(table) = table {
            let (size, now) = (table as usize, peer.encoder.size_limit());
            if size < now || more & 1 != 0 {
                peer.encoder.resize(SizeUpdate { least: size.min(now), last: size });
                peer.started = false;
            }
        }
        self.frame(leg, FrameKind::Settings, flag::ACK, 0, &[]);
    }

    fn other(&mut self, leg: usize) {
        match self.byte() & 3 {
            0 if leg == 1 => {
                // From here on nobody waits for the others that have begun.
                self.frame(1, FrameKind::GoAway, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
                self.flush(1);
                self.script.reset.extend(self.streams.iter().map(|stream| stream.id).skip(1));
                self.left = true;
            }
            1 => self.frame(leg, FrameKind::Unknown(0xbe), 0xff, 0, b"whatever that means"),
            2 => self.frame(leg, FrameKind::Unknown(0x10), 0, 0, b""),
            _ => self.frame(leg, FrameKind::Priority, 0, self.next, &[0, 0, 0, 0, 16]),
        }
    }

    /// Anything at all.
    fn raw(&mut self, leg: usize) {
        self.script.valid = false;
        let (what, which) = (self.byte(), self.byte());
        let id = u32::from(which);
        match what & 7 {
            0 | 1 => {
                let len = usize::from(which & 31).min(self.input.len());
                let (bytes, rest) = self.input.split_at(len);
                self.peers[leg].queue.extend_from_slice(bytes);
                self.input = rest;
            }
            2 => {
                let queue = &mut self.peers[leg].queue;
                let at = usize::from(which) % queue.len().max(1);
                if let Some(byte) = queue.get_mut(at) {
                    *byte ^= 1 << (what >> 5);
                }
            }
            3 => {
                // Any stream, again or out of order.
                self.next = id | 1;
                self.request();
            }
            4 => self.frame(leg, FrameKind::Data, what >> 4 & 9, id, b"\x01any stream"),
            5 => self.frame(leg, FrameKind::RstStream, 0, id, &[0, 0, 0, what >> 4]),
            6 => self.block(leg, id, what & 8 != 0, &[(b":status", b"200"), (b"x-four", b"4")]),
            _ => {
                let payload = [&[0, 0, 0, which][..], b"\x82"].concat();
                self.frame(leg, FrameKind::PushPromise, flag::END_HEADERS, id | 1, &payload);
            }
        }
    }
}

/// Whether the policy may allow a request with these fields.
pub fn may(port: u16, fields: &[crate::frames::Field]) -> bool {
    let field = |wanted: &[u8]| {
        fields.iter().find(|(name, ..)| name == wanted).map(|(_, value, _)| value.as_slice())
    };
    let (method, path) = (field(b":method"), field(b":path").unwrap_or_default());
    let overrides = [&b"x-http-method-override"[..], b"x-original-url"];
    match port {
        HTTP | GRPC if overrides.into_iter().any(|name| field(name).is_some()) => false,
        HTTP => {
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            let path = decoded(path);
            let number = |rest: &[u8]| rest.iter().all(|b| b.is_ascii_digit() || *b == b'-');
            match method {
                Some(b"GET") => {
                    let cart = path.strip_prefix(b"/carts/");
                    cart.is_some_and(|cart| number(cart) && cart != b"13")
                }
                Some(b"POST") => {
                    let cart = path.strip_prefix(b"/carts/");
                    let cart = cart.and_then(|rest| rest.strip_suffix(b"/items"));
                    cart.is_some_and(number)
                }
                Some(b"CONNECT") => field(b":protocol").is_some() && path == b"/live",
                Some(b"PUT") => path.starts_with(b"/files/"),
                _ => false,
            }
        }
        GRPC => {
            let content = field(b"content-type").unwrap_or_default();
            method == Some(b"POST")
                && path == b"/shop.Cart/AddItem"
                && content.starts_with(b"application/grpc")
        }
        _ => true,
    }
}

/// Every `%xx` as what it stands for.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|_| first == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}
