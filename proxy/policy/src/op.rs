//! Operations: what one request does, in policy terms.
//!
//! An operation borrows everything from the parsed message; building one allocates nothing.

use std::net::IpAddr;

/// Towards, or from, the pod that the sidecar guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Towards the pod.
    Inbound,
    /// From the pod.
    Outbound,
}

/// A protocol that a rule can require, or that detection can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x (RFC 9112) and HTTP/2 (RFC 9113).
    Http,
    /// gRPC over HTTP/2 (the "gRPC over HTTP2" document of the gRPC project).
    Grpc,
    /// RESP2 and RESP3.
    Redis,
    /// TLS that is not terminated: judged by SNI.
    Tls,
    /// No parser: judged as a connection.
    Opaque,
}

/// One operation, borrowed from the message that asks for it.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// An HTTP request.
    Http(HttpOp<'a>),
    /// A gRPC call.
    Grpc(GrpcOp<'a>),
    /// A Redis command.
    Redis(RedisOp<'a>),
    /// A TLS connection.
    Tls(TlsOp<'a>),
    /// A connection as such: a rule without entries, or opaque bytes.
    Connection,
}

/// An HTTP request in policy terms.
#[derive(Clone, Debug)]
pub struct HttpOp<'a> {
    /// The method token, case-sensitive (RFC 9110 §9.1).
    pub method: &'a [u8],
    /// The effective authority: absolute-form target or `Host`, as sent, port included.
    pub authority: Option<&'a [u8]>,
    /// The path as sent, without query; `*` for asterisk-form, empty for CONNECT.
    pub path: &'a [u8],
    /// The one token of `Upgrade` when the request asks to switch (RFC 9110 §7.8).
    pub upgrade: Option<&'a [u8]>,
    /// A field that overrides the method or URL is present (`X-HTTP-Method-Override`, …):
    /// the first one's name as sent.
    pub override_header: Option<&'a [u8]>,
}

/// A gRPC call in policy terms. Under a rule that requires `http` it is an HTTP request like any
/// other, [`Operation::Http`]; where one is decided all the same it counts as `POST` of its path.
#[derive(Clone, Debug)]
pub struct GrpcOp<'a> {
    /// `package.Service`: what stands between the slashes of `:path`, as sent.
    pub service: &'a [u8],
    /// What stands behind the second slash, as sent.
    pub method: &'a [u8],
    /// The authority, as sent, port included.
    pub authority: Option<&'a [u8]>,
}

impl GrpcOp<'_> {
    /// As the HTTP request that it is: `POST /package.Service/Method`. Nothing is allocated
    /// unless its path is longer than any that an entry could name.
    pub(crate) fn as_http<R>(&self, f: impl FnOnce(&HttpOp<'_>) -> R) -> R {
        const ROOM: usize = 520;
        let pieces = [b"/", self.service, b"/", self.method];
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let (mut near, mut far) = ([0; ROOM], Vec::new());
        let path = match near.get_mut(..length) {
            Some(path) => {
                let mut at = 0;
                for piece in pieces {
                    path[at..at + piece.len()].copy_from_slice(piece);
                    at += piece.len();
                }
                path
            }
            None => {
                pieces.iter().for_each(|piece| far.extend_from_slice(piece));
                &mut far[..]
            }
        };
        f(&HttpOp {
            method: b"POST",
            authority: self.authority,
            path,
            upgrade: None,
            override_header: None,
        })
    }
}

/// A Redis command in policy terms.
#[derive(Clone, Debug)]
pub struct RedisOp<'a> {
    /// The databases that the command may run in: the selected one, or several while a
    /// `SELECT` is unanswered. All must be allowed.
    pub databases: &'a [u32],
    /// The command's name as sent (matched without case).
    pub command: &'a [u8],
    /// The subcommand as sent, where the command has subcommands.
    pub subcommand: Option<&'a [u8]>,
    /// Every key, in order, or that they cannot all be known.
    pub keys: Keys<'a>,
    /// The channels or patterns, for the publish and subscribe family.
    pub channels: Keys<'a>,
    /// For EVAL and EVALSHA the script's SHA-1; for FCALL the function's name.
    pub script: Script<'a>,
}

/// The keys (or channels) of a command.
#[derive(Clone)]
pub enum Keys<'a> {
    /// All of them. The iterator is cheap to start again.
    Known(&'a dyn KeySource),
    /// They cannot all be known: the operation must be allowed by name.
    Unknown,
}

impl std::fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Keys::Known(_) => f.write_str("Known(..)"),
            Keys::Unknown => f.write_str("Unknown"),
        }
    }
}

/// Gives a command's keys without collecting them.
pub trait KeySource {
    /// Calls `visit` with each key in order until it answers false. Answers whether all
    /// calls answered true.
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl KeySource for [&[u8]] {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().all(|key| visit(key))
    }
}

impl<const N: usize> KeySource for [&[u8]; N] {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().all(|key| visit(key))
    }
}

/// The code that a Redis command runs.
#[derive(Clone, Copy, Debug)]
pub enum Script<'a> {
    /// None.
    None,
    /// A Lua script's SHA-1, 40 lower-case hex digits.
    Sha1([u8; 40]),
    /// A function's name.
    Function(&'a [u8]),
}

/// A TLS connection in policy terms.
#[derive(Clone, Debug)]
pub struct TlsOp<'a> {
    /// The server name of the ClientHello, if there is one.
    pub sni: Option<&'a [u8]>,
}

/// Where a connection comes from and goes to, as policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which section of the policy governs it.
    pub side: Side,
    /// Inbound: the client's address. Outbound: the destination's.
    pub peer: IpAddr,
    /// The server's port.
    pub port: u16,
}
