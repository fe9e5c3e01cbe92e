//! Two peers of a session: what they send is encoded with their own tables, what they receive is
//! decoded with them.

use weir_parsers::http2::hpack::{Decoder, Encoder, FieldList, Representation, encode_plain};
use weir_parsers::http2::{
    ErrorCode, FRAME_HEADER, FrameHeader, FrameKind, PREFACE, flag, headers_fragment,
};
use weir_policy::decide::{Defaults, Mode, Refusal};
use weir_policy::{Addresses, Date, Snapshot};

use super::super::answer;
use super::*;
use crate::config::UnknownFrames;
use crate::session::testing::{Drive, Driver, Record};

impl Drive for Http2 {
    fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        Http2::input(self, input, cx, out);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        Http2::wake(self, cx, out);
    }

    fn closed(&mut self, cx: &mut Cx<'_>) {
        Http2::closed(self, true, cx);
    }
}

/// Names and values.
pub(super) type Fields = Vec<(String, String)>;

/// A frame as a peer received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Settings(Vec<(u16, u32)>),
    Headers { stream: u32, fields: Fields, last: bool },
    Data { stream: u32, content: usize, last: bool },
    Reset(u32, u32),
    Window(u32, u32),
    GoAway { last: u32, code: u32 },
    Other(FrameKind, u32),
}

/// The HPACK state of one peer.
pub(super) struct Peer {
    encoder: Encoder,
    decoder: Decoder,
    read: usize,
    /// It puts nothing into tables.
    pub(super) plain: bool,
}

impl Peer {
    fn new() -> Self {
        Self { encoder: Encoder::new(4096), decoder: Decoder::new(), read: 0, plain: false }
    }

    /// A block with these fields.
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let representation =
            if self.plain { Representation::Without } else { Representation::Incremental };
        let mut list = FieldList::default();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), representation);
        }
        let mut out = Vec::new();
        match self.plain {
            true => encode_plain(list.iter(), &mut out),
            false => self.encoder.encode(list.iter(), &mut out),
        }
        out
    }

    /// HEADERS with these fields.
    pub(super) fn headers(&mut self, stream: u32, last: bool, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        let mut out = Vec::new();
        answer::block(stream, last, None, &block, &mut out);
        out
    }

    /// A table of another size from the next block on.
    pub(super) fn resize(&mut self, least: usize, last: usize) {
        self.encoder.resize(weir_parsers::http2::hpack::SizeUpdate { least, last });
    }

    /// Its settings offer a table of this size, and were acknowledged.
    pub(super) fn allows(&mut self, table: usize) {
        self.decoder.allow(table);
    }

    /// What has come since the last time.
    fn receive(&mut self, bytes: &[u8], server: bool) -> Vec<Got> {
        let (mut got, mut fields, mut block) = (Vec::new(), FieldList::default(), Vec::new());
        if server && self.read == 0 && bytes.starts_with(PREFACE) {
            self.read = PREFACE.len();
        }
        let (mut headers, mut last) = (0, false);
        while let Some(header) = FrameHeader::read(&bytes[self.read..]) {
            let from = self.read + FRAME_HEADER;
            let Some(payload) = bytes.get(from..from + header.length) else { break };
            self.read = from + header.length;
            let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            let stream = header.stream;
            match header.kind {
                FrameKind::Headers | FrameKind::Continuation => {
                    if header.kind == FrameKind::Headers {
                        block = headers_fragment(&header, payload).unwrap().to_vec();
                        (headers, last) = (stream, header.has(flag::END_STREAM));
                    } else {
                        assert_eq!(headers, stream);
                        block.extend_from_slice(payload);
                    }
                    if header.has(flag::END_HEADERS) {
                        fields.clear();
                        self.decoder.decode(&block, 1 << 20, &mut fields).unwrap();
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        let fields = fields.iter().map(|f| (text(f.name), text(f.value)));
                        got.push(Got::Headers { stream, fields: fields.collect(), last });
                    }
                }
                FrameKind::Data => got.push(Got::Data {
                    stream,
                    content: header.length,
                    last: header.has(flag::END_STREAM),
                }),
                FrameKind::RstStream => got.push(Got::Reset(stream, word(0))),
                FrameKind::WindowUpdate => got.push(Got::Window(stream, word(0))),
                FrameKind::GoAway => got.push(Got::GoAway { last: word(0), code: word(4) }),
                FrameKind::Settings if !header.has(flag::ACK) => {
                    let settings = weir_parsers::http2::settings(payload);
                    got.push(Got::Settings(settings.collect()));
                }
                kind => got.push(Got::Other(kind, stream)),
            }
        }
        got
    }
}

/// Both peers and what is between them.
pub(super) struct Pair {
    pub(super) driver: Driver<Http2>,
    pub(super) client: Peer,
    pub(super) server: Peer,
}

/// A policy that allows `GET /ok`, `POST /ok` and the calls of `shop.Cart`.
fn policy(protocol: &str) -> Snapshot {
    let allow = match protocol {
        "grpc" => "[shop.Cart/Add, shop.Cart/Watch]",
        _ => "[GET /ok, POST /ok, {op: GET /live, upgrade: websocket}]",
    };
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
         inbound:\n  - from: [{{any: true}}]\n    ports: [8080]\n    protocol: {protocol}\n    \
         allow: {allow}\n"
    );
    let defaults = Defaults { mode: Mode::Enforce, today: Date::new(2026, 1, 1).unwrap() };
    let policies = weir_policy::parse("p", &text).unwrap();
    Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap()
}

impl Pair {
    /// A judged connection under a rule for this protocol, past the prefaces.
    pub(super) fn new(protocol: &str) -> Self {
        let mut pair = Self::silent(protocol);
        pair.begin(&[], &[]);
        pair
    }

    /// One on which nothing was said.
    pub(super) fn silent(protocol: &str) -> Self {
        let mut driver = Driver::new(Http2::new(UnknownFrames::Pass));
        driver.policy = policy(protocol);
        driver.admission = driver.policy.admit(&driver.endpoint);
        driver.limits.http2_refusals = u32::MAX;
        Self { driver, client: Peer::new(), server: Peer::new() }
    }

    pub(super) fn observed(protocol: &str) -> Self {
        let mut pair = Self::silent(protocol);
        pair.driver.judge = false;
        pair.begin(&[], &[]);
        pair
    }

    pub(super) fn refusing(protocol: &str, refusal: Refusal) -> Self {
        let mut pair = Self::new(protocol);
        pair.driver.admission.refusal = Some(refusal);
        pair
    }

    /// The prefaces with these settings, acknowledged, and forgotten.
    pub(super) fn begin(&mut self, client: &[(u16, u32)], server: &[(u16, u32)]) {
        self.driver.client([PREFACE.to_vec(), answer::settings(client)].concat());
        self.driver.server(answer::settings(server));
        self.driver.client(ack());
        self.driver.server(ack());
        self.client_got();
        self.server_got();
    }

    /// What the client has received since the last time.
    pub(super) fn client_got(&mut self) -> Vec<Got> {
        self.client.receive(self.driver.towards(Leg::Client), false)
    }

    /// What the server has received since the last time.
    pub(super) fn server_got(&mut self) -> Vec<Got> {
        self.server.receive(self.driver.towards(Leg::Server), true)
    }

    /// Whether the client's blocks are encoded anew.
    pub(super) fn has_parted(&self) -> bool {
        self.driver.session.directions[Leg::Client as usize].encoder.is_some()
    }

    /// The client asks for this path, to the end of the request.
    pub(super) fn asks(&mut self, stream: u32, path: &str) {
        let headers = self.client.headers(stream, true, &get(path));
        self.driver.client(headers);
    }

    /// The server answers with nothing.
    pub(super) fn answers(&mut self, stream: u32) {
        let headers = self.server.headers(stream, true, &ok());
        self.driver.server(headers);
    }

    /// What was reported, in a word each: operation, verdict, reason, and `+` if complete.
    pub(super) fn words(&self) -> Vec<String> {
        let mut records = self.driver.records.ended.clone();
        records.sort_by_key(|record| record.seq);
        let word = |r: &Record| {
            let complete = if r.complete { " +" } else { "" };
            format!("{} {} {}{complete}", r.op, r.verdict.label(), r.reason.label())
        };
        records.iter().map(word).collect()
    }
}

pub(super) fn get(path: &str) -> [(&str, &str); 5] {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "cart.shop"),
        ("user-agent", "test"),
    ]
}

pub(super) fn post(path: &str) -> [(&str, &str); 4] {
    [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "cart.shop")]
}

pub(super) fn call(path: &str) -> [(&str, &str); 6] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "cart.shop"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
}

pub(super) fn ok() -> [(&'static str, &'static str); 2] {
    [(":status", "200"), ("server", "test")]
}

/// Fields as they are received.
pub(super) fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

pub(super) fn frame(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHeader { length: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

pub(super) fn data(stream: u32, last: bool, content: &[u8]) -> Vec<u8> {
    frame(FrameKind::Data, u8::from(last), stream, content)
}

pub(super) fn padded(stream: u32, last: bool, content: &[u8], padding: u8) -> Vec<u8> {
    let mut payload = vec![padding];
    payload.extend_from_slice(content);
    payload.extend(vec![0; usize::from(padding)]);
    frame(FrameKind::Data, u8::from(last) | flag::PADDED, stream, &payload)
}

pub(super) fn ack() -> Vec<u8> {
    frame(FrameKind::Settings, flag::ACK, 0, &[])
}

pub(super) fn code(code: ErrorCode) -> u32 {
    code as u32
}
