//! A connection whose protocol is not yet known.

use weir_parsers::detect::{ClientBytes, Detection, Detector, Greeting, proxy, tls};
use weir_policy::decide::Unread;
use weir_policy::op::Protocol;

use super::{Input, Leg};

/// What a look at one leg's bytes gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// The first `pass` bytes of the input pass, whatever comes of the rest: a PROXY header, or
    /// a greeting that the policy lets pass in any case. The input of the next look, and what
    /// `found` speaks of, begin behind them.
    pub(crate) pass: usize,
    /// The protocol, once it is certain.
    pub(crate) found: Option<Detected>,
}

/// A connection's protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// HTTP/1. Its parser begins with the held bytes of both legs.
    Http1,
    /// HTTP/2.
    Http2,
    /// Redis. Its parser begins with the held bytes of both legs.
    Redis,
    /// TLS that is not terminated.
    Tls(Hello),
    /// The server speaks first.
    ServerFirst(Greeting),
    /// Both legs ended without a byte.
    Silent,
    /// None that is known: the reason's label.
    Unknown(&'static str),
    /// A protocol's own beginning, but refused by its parser: the reason's label.
    Malformed(&'static str),
}

/// What a ClientHello asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The server name: with Encrypted ClientHello the outer one.
    pub(crate) server_name: Option<Box<[u8]>>,
    /// The protocols offered, in their order.
    pub(crate) alpn: Vec<Box<[u8]>>,
    /// The true hello is encrypted, or a client pretends so.
    pub(crate) ech: bool,
}

impl Detected {
    /// The label in log and metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Detected::Http1 => "http",
            Detected::Http2 => "http2",
            Detected::Redis => "redis",
            Detected::Tls(_) => "encrypted",
            Detected::ServerFirst(greeting) => greeting.label(),
            Detected::Silent => "silent",
            Detected::Unknown(label) | Detected::Malformed(label) => label,
        }
    }

    /// Whether this is the protocol that a rule requires.
    pub(crate) fn is(&self, required: Protocol) -> bool {
        match required {
            Protocol::Http => matches!(self, Detected::Http1 | Detected::Http2),
            Protocol::Grpc => matches!(self, Detected::Http2),
            Protocol::Redis => matches!(self, Detected::Redis),
            Protocol::Tls => matches!(self, Detected::Tls(_)),
            Protocol::Opaque => false,
        }
    }

    /// A protocol that has a name and no parser in this build.
    pub(crate) fn is_unsupported(&self) -> bool {
        match self {
            Detected::ServerFirst(greeting) => greeting.is_known(),
            _ => false,
        }
    }
}

/// What of the settings in force bears on detection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Nothing passes before it is decided on.
    pub(crate) judge: bool,
    /// What the policy lets pass unread.
    pub(crate) unread: Unread,
    /// [`Limits::detection_bytes`](crate::limits::Limits::detection_bytes).
    pub(crate) budget: usize,
}

/// The longest greeting that can still become another, in bytes.
const OPEN_GREETING: usize = 4;

/// Looks at both legs until the protocol is certain.
#[derive(Debug, Default)]
pub(crate) struct Detect {
    inline: bool,
    /// Made at the first look, when the limits are known.
    detector: Option<Detector>,
    proxy: Option<proxy::Header>,
    /// The start of a greeting that has passed already.
    greeted: [u8; OPEN_GREETING],
    greeted_len: usize,
}

impl Detect {
    /// `inline`: Redis inline commands are declared, and need no confirmation by the server.
    pub(crate) fn new(inline: bool) -> Self {
        Self { inline, ..Self::default() }
    }

    /// The PROXY header that the client sent. It has passed; nothing is decided by it.
    pub(crate) fn proxy_header(&self) -> Option<&proxy::Header> {
        self.proxy.as_ref()
    }

    /// Whether the server has said its part, and it is for the client to say what is spoken.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.detector.as_ref().is_some_and(Detector::waits_for_client)
    }

    /// Looks at the bytes of one leg that have not passed by an earlier look.
    pub(crate) fn look(&mut self, input: &Input<'_>, settings: Settings) -> Look {
        let inline = self.inline;
        self.detector.get_or_insert_with(|| Detector::new(settings.budget, inline));
        match input.leg {
            Leg::Client => self.client(input, settings),
            Leg::Server => self.server(input, settings),
        }
    }

    fn client(&mut self, input: &Input<'_>, settings: Settings) -> Look {
        let Some(detector) = &mut self.detector else { return Look { pass: 0, found: None } };
        let passed = !settings.judge || input.sent == input.data.len();
        let bytes = ClientBytes { data: input.data, eof: input.eof, passed };
        match detector.client(bytes) {
            Detection::Proxy(header) => {
                self.proxy = Some(header);
                let data = input.data.get(header.len..).unwrap_or_default();
                let detection = detector.client(ClientBytes { data, ..bytes });
                Look { pass: header.len, found: detected(detection, data) }
            }
            detection => Look { pass: 0, found: detected(detection, input.data) },
        }
    }

    fn server(&mut self, input: &Input<'_>, settings: Settings) -> Look {
        let Some(detector) = &mut self.detector else { return Look { pass: 0, found: None } };
        let detection = if self.greeted_len == 0 {
            detector.server(input.data, input.eof)
        } else {
            // One byte more than an open greeting settles it, so a few are enough.
            let mut head = [0; 2 * OPEN_GREETING];
            let bytes = self.greeted.iter().take(self.greeted_len).chain(input.data);
            let len = head.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
            detector.server(head.get(..len).unwrap_or_default(), input.eof)
        };
        let unread = settings.unread;
        match detection {
            Detection::More { server_first: true }
                if settings.judge && !unread.refuse_unknown && !unread.refuse_unsupported =>
            {
                for byte in input.data {
                    if let Some(slot) = self.greeted.get_mut(self.greeted_len) {
                        *slot = *byte;
                        self.greeted_len += 1;
                    }
                }
                Look { pass: input.data.len(), found: None }
            }
            detection => Look { pass: 0, found: detected(detection, &[]) },
        }
    }
}

/// The detection in the session's words. `client`: the leg's bytes, where a ClientHello was
/// found in them.
fn detected(detection: Detection, client: &[u8]) -> Option<Detected> {
    Some(match detection {
        Detection::More { .. } | Detection::Proxy(_) => return None,
        Detection::Http1 => Detected::Http1,
        Detection::Http2 => Detected::Http2,
        Detection::Redis => Detected::Redis,
        Detection::Tls(len) => hello(client.get(..len).unwrap_or_default()),
        Detection::ServerFirst(greeting) => Detected::ServerFirst(greeting),
        Detection::Silent => Detected::Silent,
        Detection::Unknown(weir_parsers::detect::Unknown::Tls(reason)) => {
            Detected::Malformed(reason.label())
        }
        Detection::Unknown(why) => Detected::Unknown(why.label()),
    })
}

fn hello(records: &[u8]) -> Detected {
    match tls::client_hello(records, &mut Vec::new()) {
        Ok(hello) => Detected::Tls(Hello {
            server_name: hello.server_name.map(Box::from),
            alpn: hello.alpn.into_iter().flatten().map(Box::from).collect(),
            ech: hello.ech,
        }),
        Err(reason) => Detected::Malformed(reason.label()),
    }
}

#[cfg(test)]
mod tests;
