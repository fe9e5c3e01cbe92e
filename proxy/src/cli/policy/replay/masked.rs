//! A line of the log, and what the policies say of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use serde::Deserialize;
use weir_parsers::redis::{Begin, CommandInfo, Find, Table};
use weir_policy::Snapshot;
use weir_policy::masked::{
    Doubt, Judgement, KeysTold, Masked, Place, Record, Spoken, Told, decide, permitted,
};
use weir_policy::op::{Protocol, Side};
use weir_policy::path::Ambiguities;

/// The version of the log's fields that is read here.
const SCHEMA: &str = "weir.dev/traffic/v1";
/// So many answers are kept for records like those before.
const KNOWN: usize = 16 << 10;
/// So many long-lived operations are followed at a time.
const OPEN: usize = 256 << 10;
/// A command of more bytes may have been judged in pieces, of which its record shows the first:
/// the least that `judging-bytes` can be.
const STREAMED: u64 = 4 << 10;

/// What of a line matters here.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    id: Option<String>,
    side: Option<String>,
    peer: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
    host: Option<String>,
    database: Option<String>,
    op: Option<String>,
    detail: Option<String>,
    upgrade: Option<String>,
    #[serde(rename = "override")]
    override_header: Option<String>,
    bytes_in: Option<u64>,
    reason: Option<String>,
    decided_by: Option<String>,
    phase: Option<String>,
    count: Option<u64>,
}

/// What the policies say of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cli::policy) enum Said {
    /// Allowed, or passed because nothing governs it.
    Allowed { ungoverned: bool },
    /// Refused: the reason.
    Refused(&'static str),
    /// It depends on what the log does not tell.
    Undecidable(String),
}

impl Said {
    /// The word for it.
    pub(in crate::cli::policy) fn result(&self) -> &'static str {
        match self {
            Said::Allowed { .. } => "allowed",
            Said::Refused(_) => "refused",
            Said::Undecidable(_) => "undecidable",
        }
    }

    /// Why; nothing if an entry allows it.
    pub(in crate::cli::policy) fn reason(&self) -> &str {
        match self {
            Said::Allowed { ungoverned: false } => "",
            Said::Allowed { ungoverned: true } => "ungoverned",
            Said::Refused(why) => why,
            Said::Undecidable(why) => why,
        }
    }
}

/// One record, decided.
pub(in crate::cli::policy) struct Outcome<'a> {
    pub(in crate::cli::policy) id: Option<String>,
    pub(in crate::cli::policy) side: &'static str,
    pub(in crate::cli::policy) port: Option<u16>,
    pub(in crate::cli::policy) protocol: &'static str,
    pub(in crate::cli::policy) op: Cow<'a, str>,
    pub(in crate::cli::policy) count: u64,
    pub(in crate::cli::policy) said: Said,
}

/// Decides the lines of a log, one after the other.
pub(in crate::cli::policy) struct Judge<'a> {
    snapshot: &'a Snapshot,
    known: HashMap<String, Said>,
    open: HashSet<String>,
}

impl<'a> Judge<'a> {
    pub(in crate::cli::policy) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, known: HashMap::new(), open: HashSet::new() }
    }

    /// Decides one line; none: the operation was counted by an earlier record of it.
    ///
    /// # Errors
    /// Why it is no record.
    pub(in crate::cli::policy) fn line(
        &mut self,
        line: &[u8],
    ) -> Result<Option<Outcome<'static>>, &'static str> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| "it is no JSON record")?;
        if line.schema != SCHEMA {
            return Err("its schema is another than weir.dev/traffic/v1");
        }
        if !self.is_first(&line) {
            return Ok(None);
        }
        let count = line.count.unwrap_or(1);
        if line.count.is_some() && line.side.is_none() {
            let said = Said::Undecidable("a summary has counted it among the others".to_owned());
            let (id, op) = (None, Cow::Borrowed("other"));
            let outcome = Outcome { id, side: "-", port: None, protocol: "-", op, count, said };
            return Ok(Some(outcome));
        }
        let side: Side =
            line.side.as_deref().and_then(|s| s.parse().ok()).ok_or("it has no side")?;
        let port = line.port.ok_or("it has no port")?;
        let protocol: Protocol =
            line.protocol.as_deref().and_then(|p| p.parse().ok()).ok_or("it has no protocol")?;
        let peer: Option<IpAddr> = match &line.peer {
            Some(peer) => Some(peer.parse().map_err(|_| "its peer is no address")?),
            None => None,
        };
        let key = key(&line);
        let said = match self.known.get(&key) {
            Some(said) => said.clone(),
            None => {
                let place = Place { side, peer, port };
                let said = self.decide(&place, protocol, &line)?;
                if self.known.len() >= KNOWN {
                    self.known.clear();
                }
                self.known.insert(key, said.clone());
                said
            }
        };
        let op = match (line.op, line.host) {
            (Some(op), _) => op,
            (None, Some(name)) if protocol == Protocol::Tls => format!("sni {name}"),
            (None, None) if protocol == Protocol::Tls => "sni none".to_owned(),
            _ => "-".to_owned(),
        };
        let (side, protocol) = (side.as_str(), protocol.as_str());
        let op = Cow::Owned(op);
        Ok(Some(Outcome { id: line.id, side, port: Some(port), protocol, op, count, said }))
    }

    /// Whether the record is the first of its operation: what lives long has several.
    fn is_first(&mut self, line: &Line<'_>) -> bool {
        let Some(id) = &line.id else { return true };
        if line.phase.is_none() {
            return !self.open.remove(id);
        }
        // Past the bound it counts when it ends.
        self.open.len() < OPEN && self.open.insert(id.clone())
    }

    fn decide(
        &self,
        place: &Place,
        protocol: Protocol,
        line: &Line<'_>,
    ) -> Result<Said, &'static str> {
        let reason = line.reason.as_deref().unwrap_or_default();
        if matches!(reason, "not_redirected" | "not_local" | "own_port" | "looping") {
            let why = format!("weir carries no such connection, whatever the policy ({reason})");
            return Ok(Said::Undecidable(why));
        }
        let masked = match (protocol, &line.op) {
            _ if reason == "substitute" => Masked::substitute(),
            (Protocol::Opaque, _) => Masked::connection(spoken(reason)),
            (Protocol::Http | Protocol::Grpc | Protocol::Redis, None) => {
                Masked::connection(Spoken::Untold)
            }
            (Protocol::Http | Protocol::Grpc | Protocol::Redis | Protocol::Tls, _) => {
                let record = self.record(protocol, reason, line);
                Masked::read(protocol, &record).map_err(|_| "its operation cannot be read")?
            }
        };
        Ok(match decide(self.snapshot, place, &masked) {
            Judgement::Allowed => Said::Allowed { ungoverned: false },
            Judgement::Ungoverned => Said::Allowed { ungoverned: true },
            Judgement::Refused(why) => Said::Refused(why.label()),
            Judgement::Undecidable(why) if why.doubt == Doubt::Spoken && line.op.is_none() => {
                Said::Undecidable(match protocol {
                    Protocol::Opaque => format!("{why} ({reason})"),
                    _ => format!("no operation could be read then ({reason})"),
                })
            }
            Judgement::Undecidable(why) => Said::Undecidable(why.to_string()),
        })
    }

    fn record<'l>(&self, protocol: Protocol, reason: &str, line: &'l Line<'_>) -> Record<'l> {
        let summary = line.count.is_some();
        let of_connection = |text: &'l Option<String>| match text {
            Some(text) => Told::This(text),
            None if summary => Told::Untold,
            None => Told::None,
        };
        // A record without the field is of a request that had none, unless its reason says that
        // it had one.
        let asked = |text: &'l Option<String>, reasons: &[&str]| match text {
            Some(text) => Told::This(text),
            None if reasons.contains(&reason) => Told::Untold,
            None => Told::None,
        };
        let op = line.op.as_deref().unwrap_or_default();
        Record {
            host: of_connection(&line.host),
            database: of_connection(&line.database),
            op,
            detail: line.detail.as_deref(),
            upgrade: asked(&line.upgrade, &["upgrade_not_permitted", "upgraded"]),
            override_header: asked(&line.override_header, &["override_header"]),
            keys: match protocol {
                Protocol::Redis => keys(op, reason, line.bytes_in.filter(|_| !summary)),
                _ => KeysTold::All,
            },
            ambiguities: match (protocol, reason) {
                // What is ambiguous has another reason.
                (Protocol::Http, "not_allowed") => Some(Ambiguities::NONE),
                (Protocol::Http, "entry") => {
                    line.decided_by.as_deref().and_then(|by| permitted(self.snapshot, by))
                }
                _ => None,
            },
        }
    }
}

/// All that the answer depends on.
fn key(line: &Line<'_>) -> String {
    let port = line.port.map(|port| port.to_string());
    let path = line.detail.as_deref().map(|detail| match line.protocol.as_deref() {
        Some("http") => detail.split('?').next().unwrap_or(detail),
        _ => detail,
    });
    let long = line.bytes_in.is_some_and(|bytes| bytes >= STREAMED);
    let flags = format!("{}{}", u8::from(long), u8::from(line.count.is_some()));
    let parts = [
        Some(flags.as_str()),
        line.side.as_deref(),
        line.peer.as_deref(),
        port.as_deref(),
        line.protocol.as_deref(),
        line.host.as_deref(),
        line.database.as_deref(),
        line.op.as_deref(),
        path,
        line.upgrade.as_deref(),
        line.override_header.as_deref(),
        line.reason.as_deref(),
        line.decided_by.as_deref(),
    ];
    // Each with its length, so that no two lists of parts make one text.
    let mut key = String::with_capacity(256);
    for part in parts {
        match part {
            Some(part) => {
                key.push_str(&part.len().to_string());
                key.push(':');
                key.push_str(part);
            }
            None => key.push('-'),
        }
    }
    key
}

/// What was spoken on a connection that was not read, by the record's reason.
fn spoken(reason: &str) -> Spoken {
    match reason {
        "http2" | "ssh" | "smtp_or_ftp" | "imap" | "pop3" | "mysql" => Spoken::Unsupported,
        "server_first" | "unrecognised" | "detection_bytes" | "detection_truncated" => {
            Spoken::Unknown
        }
        _ => Spoken::Untold,
    }
}

/// Whether the record shows the command's keys, as far as the table of commands tells.
fn keys(op: &str, reason: &str, bytes: Option<u64>) -> KeysTold {
    let mut words = op.split(' ');
    let name = words.next().unwrap_or_default();
    let (command, subcommand) = match name.split_once('|') {
        Some((command, subcommand)) => (command, Some(subcommand.as_bytes())),
        None => (name, None),
    };
    let Some(info) = Table::builtin().lookup(command.as_bytes(), subcommand) else {
        return KeysTold::Unknown;
    };
    let runs = matches!(command, "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO");
    let script = matches!(command, "FCALL" | "FCALL_RO")
        || runs && words.clone().next().is_some_and(|word| word.starts_with("sha1:"));
    let shown = words.count() > usize::from(script);
    let specs = || info.key_specs().iter().filter(|spec| !spec.not_key);
    let unknown = |spec: &weir_parsers::redis::KeySpec| {
        spec.incomplete || spec.begin == Begin::Unknown || spec.find == Find::Unknown
    };
    match shown {
        false if specs().any(unknown) => KeysTold::Unknown,
        false if specs().next().is_some() => KeysTold::NoneOrUnknown,
        false => KeysTold::All,
        true if matches!(reason, "judging_bytes" | "truncated") => KeysTold::Some,
        // Of a summary it is not known how long each was.
        true if takes_many(info) && bytes.is_none_or(|bytes| bytes >= STREAMED) => KeysTold::Some,
        true => KeysTold::All,
    }
}

/// Whether the command takes several keys or channels.
fn takes_many(info: &CommandInfo) -> bool {
    let several = |find: &Find| match find {
        Find::Range { last, .. } => *last != 0,
        _ => true,
    };
    info.has_flag("pubsub") && info.arity() < 0
        || info.key_specs().iter().any(|spec| several(&spec.find))
}
