//! What the first bytes of a connection say it is.
//!
//! A [`Detector`] is handed the first bytes of either leg as they come, and goes on until it is
//! certain or its byte budget is spent. It keeps a few counters and no bytes: each call hands in
//! the leg's bytes from its start (or from behind a PROXY header, once that was found).
//!
//! The answer is a function of the bytes and of which leg spoke before which, never of how the
//! reads of a leg were cut. Where a first line could be HTTP and something else, it is called
//! HTTP: that parser is strict, so a doubtful line is refused there rather than passed as unknown.

mod client;
pub mod proxy;
mod server;
pub mod tls;

pub use server::Greeting;

use client::Said;

/// What is known so far. Everything but [`More`](Detection::More) and
/// [`Proxy`](Detection::Proxy) is final: the detector has done its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// Not certain yet.
    More {
        /// The server spoke before the client, and neither HTTP nor Redis: only which greeting
        /// it is remains open.
        server_first: bool,
    },
    /// The client's leg begins with this PROXY header. From now on the client's bytes are
    /// handed in without it.
    Proxy(proxy::Header),
    /// HTTP/1 (RFC 9112): a first line that has the form of a request line, or a server that
    /// speaks first with a status line.
    Http1,
    /// The client's connection preface of HTTP/2 (RFC 9113 §3.4), or the SETTINGS of a server
    /// that ends while the client has said nothing.
    Http2,
    /// RESP; inline commands only where the server's answer confirms them.
    Redis,
    /// A whole TLS ClientHello, in this many bytes of records: see [`tls::client_hello`].
    Tls(usize),
    /// The server speaks first.
    ServerFirst(Greeting),
    /// Both legs ended without a byte.
    Silent,
    /// None of these.
    Unknown(Unknown),
}

/// Why a connection's protocol is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unknown {
    /// The bytes are of no protocol known here.
    #[error("the first bytes belong to no known protocol")]
    Unrecognised,
    /// The byte budget was spent before the bytes were certain.
    #[error("the protocol is not certain within the detection budget")]
    Budget,
    /// A leg ended before its bytes were certain.
    #[error("the connection ended before its protocol was certain")]
    Truncated,
    /// A PROXY header that is none.
    #[error(transparent)]
    Proxy(proxy::Reason),
    /// A ClientHello that is none.
    #[error(transparent)]
    Tls(tls::Reason),
}

impl Unknown {
    /// The label in log and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Unknown::Unrecognised => "unrecognised",
            Unknown::Budget => "detection_bytes",
            Unknown::Truncated => "detection_truncated",
            Unknown::Proxy(reason) => reason.label(),
            Unknown::Tls(reason) => reason.label(),
        }
    }
}

/// The client's bytes, from the start of its leg or from behind its PROXY header.
#[derive(Clone, Copy, Debug)]
pub struct ClientBytes<'a> {
    /// All that has come so far.
    pub data: &'a [u8],
    /// Nothing comes after `data`.
    pub eof: bool,
    /// The server has these bytes. Where it has not, it cannot confirm an inline Redis command
    /// by its answer, and waiting for that would be waiting forever.
    pub passed: bool,
}

/// How far the client's leg is, once the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Client {
    /// No byte, or a PROXY header alone.
    #[default]
    Empty,
    /// Bytes that are not certain.
    Partial,
    /// A whole line that may be an inline Redis command.
    Line,
}

/// Finds a connection's protocol from the first bytes of both legs.
#[derive(Clone, Debug)]
pub struct Detector {
    scan: client::Scan,
    client: Client,
    /// The server has spoken first, neither HTTP nor Redis.
    server_first: bool,
    /// The server's bytes begin with HTTP/2's SETTINGS.
    settings: bool,
    server_spoke: bool,
    /// The server spoke while the client had said nothing.
    greeted: bool,
    client_eof: bool,
    server_eof: bool,
    /// The client's bytes that detection may still look at, PROXY header taken off.
    client_budget: usize,
    server_budget: usize,
    inline: bool,
    found: Option<Detection>,
}

impl Detector {
    /// A detector that looks at no more than `budget` bytes of each leg. `inline`: Redis inline
    /// commands are declared here, and need no confirmation by the server.
    pub fn new(budget: usize, inline: bool) -> Self {
        Self {
            scan: client::Scan::default(),
            client: Client::Empty,
            server_first: false,
            settings: false,
            server_spoke: false,
            greeted: false,
            client_eof: false,
            server_eof: false,
            client_budget: budget,
            server_budget: budget,
            inline,
            found: None,
        }
    }

    /// Whether the server has sent HTTP/2's SETTINGS, and the client nothing.
    pub fn waits_for_client(&self) -> bool {
        self.found.is_none() && self.settings && self.client == Client::Empty
    }

    /// Looks at the client's bytes. Bytes looked at before are not looked at again.
    pub fn client(&mut self, bytes: ClientBytes<'_>) -> Detection {
        if let Some(found) = self.found {
            return found;
        }
        self.client_eof |= bytes.eof;
        if self.server_first && !bytes.data.is_empty() {
            return self.found(Detection::ServerFirst(Greeting::Other));
        }
        let spent = bytes.data.len() >= self.client_budget;
        let data = bytes.data.get(..self.client_budget).unwrap_or(bytes.data);
        match self.scan.look(data) {
            Said::Nothing => self.client = Client::Empty,
            Said::More => self.client = Client::Partial,
            Said::Line if self.inline => return self.found(Detection::Redis),
            // Nobody is left to confirm it, however many bytes come with it.
            Said::Line if bytes.passed && self.server_eof => {
                return self.unknown(Unknown::Truncated);
            }
            Said::Line if bytes.passed => self.client = Client::Line,
            Said::Line => return self.unknown(Unknown::Unrecognised),
            Said::Proxy(header) => {
                self.client = Client::Empty;
                self.client_budget -= header.len;
                return Detection::Proxy(header);
            }
            Said::Found(detection) => return self.found(detection),
        }
        if spent {
            return self.unknown(Unknown::Budget);
        }
        if bytes.data.is_empty() && !bytes.eof {
            // Behind a PROXY header: what comes next may have been in the same read.
            return Detection::More { server_first: self.server_first };
        }
        self.ends()
    }

    /// Looks at the server's bytes, `data` being all that has come so far. `eof`: nothing comes
    /// after them.
    pub fn server(&mut self, data: &[u8], eof: bool) -> Detection {
        if let Some(found) = self.found {
            return found;
        }
        self.server_eof |= eof;
        self.server_spoke |= !data.is_empty();
        self.greeted |= !data.is_empty() && self.client == Client::Empty;
        let spent = data.len() >= self.server_budget;
        let data = data.get(..self.server_budget).unwrap_or(data);
        let heard = match self.client {
            Client::Empty => server::greeting(data),
            Client::Partial => server::answer(data, false),
            Client::Line => server::answer(data, true),
        };
        match heard {
            server::Heard::More { server_first } => self.server_first = server_first,
            server::Heard::Settings => self.settings = true,
            server::Heard::Found(detection) => return self.found(detection),
        }
        if spent {
            return self.unknown(Unknown::Budget);
        }
        self.ends()
    }

    /// What the ends of the legs say of bytes that are not certain.
    fn ends(&mut self) -> Detection {
        match self.client {
            Client::Partial if self.client_eof => self.unknown(Unknown::Truncated),
            Client::Line if self.server_eof => self.unknown(Unknown::Truncated),
            // While a PROXY header was not whole, it was not known that the client had said nothing.
            Client::Empty if self.server_eof && (self.greeted || self.client_eof) => {
                self.found(match self.server_spoke {
                    true if self.settings => Detection::Http2,
                    true => Detection::ServerFirst(Greeting::Other),
                    false => Detection::Silent,
                })
            }
            _ => Detection::More { server_first: self.server_first },
        }
    }

    fn unknown(&mut self, why: Unknown) -> Detection {
        self.found(Detection::Unknown(why))
    }

    fn found(&mut self, detection: Detection) -> Detection {
        self.found = Some(detection);
        detection
    }
}

#[cfg(test)]
mod tests;
