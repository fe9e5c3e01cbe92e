//! Operations as lines of a policy file.

use crate::entry::grpc::is_name;
use crate::host::Host;
use crate::model::Rule;
use crate::op::{GrpcOp, HttpOp, Keys, Operation, RedisOp, Script};
use crate::path::{Ambiguities, ambiguities};
use crate::pattern::Separators;
use crate::shape::{http_path, redis_key};

/// An entry with its options.
pub(super) struct Line {
    op: String,
    upgrade: bool,
    permit: Ambiguities,
    override_header: Option<String>,
    /// It takes whatever keys there are.
    bare: bool,
}

const PERMIT: &str = "servers differ in how they read such a path, and deny entries see it as it \
                      stands; permit only what the server behind is known to read in one way";
const UPGRADE: &str = "once the server has switched, nothing on the connection is read";
const OVERRIDE: &str = "the server may do something else than the method and path that are judged";
const BARE: &str = "the keys cannot all be known: it allows the command whatever its keys";

impl Line {
    /// The entry that the operation's shape is; none: it cannot be written.
    pub(super) fn of(operation: &Operation<'_>, separators: Separators) -> Option<Self> {
        let plain = |op| Self {
            op,
            upgrade: false,
            permit: Ambiguities::NONE,
            override_header: None,
            bare: false,
        };
        match operation {
            Operation::Http(http) => {
                let path = if http.path.is_empty() { b"/" } else { http.path };
                let permit = match http.method {
                    b"CONNECT" => Ambiguities::NONE,
                    _ => ambiguities(path),
                };
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
                Some(Self {
                    upgrade: http.upgrade.is_some(),
                    permit,
                    override_header: match http.override_header {
                        Some(name) => Some(text(name)?),
                        None => None,
                    },
                    ..plain(http_entry(http, path)?)
                })
            }
            Operation::Grpc(grpc) => Some(plain(grpc_entry(grpc)?)),
            Operation::Redis(redis) => {
                let bare = matches!(redis.keys, Keys::Unknown);
                Some(Self { bare, ..plain(redis_entry(redis, separators)?) })
            }
            Operation::Tls(tls) => {
                let name = match tls.sni {
                    Some(name) => std::str::from_utf8(name).ok()?.to_ascii_lowercase(),
                    None => "none".to_owned(),
                };
                Some(plain(format!("sni {name}")))
            }
            Operation::Connection => None,
        }
    }

    /// As an item of a list, without its dash.
    pub(super) fn yaml(&self) -> String {
        let mut options = String::new();
        if self.upgrade {
            options.push_str(", upgrade: websocket");
        }
        if !self.permit.is_empty() {
            options.push_str(&format!(", permit: [{}]", self.permit));
        }
        if let Some(name) = &self.override_header {
            options.push_str(&format!(", overrideHeaders: [{}]", quoted_if_needed(name)));
        }
        let op = quoted(&self.op);
        if options.is_empty() { op } else { format!("{{op: {op}{options}}}") }
    }

    /// What one should know before.
    pub(super) fn warnings(&self) -> Vec<&'static str> {
        let all = [
            (!self.permit.is_empty(), PERMIT),
            (self.upgrade, UPGRADE),
            (self.override_header.is_some(), OVERRIDE),
            (self.bare, BARE),
        ];
        all.into_iter().filter_map(|(is, warning)| is.then_some(warning)).collect()
    }
}

fn http_entry(http: &HttpOp<'_>, path: &[u8]) -> Option<String> {
    let mut entry = http.method.to_vec();
    entry.push(b' ');
    match (http.method, http.authority) {
        (b"CONNECT", Some(authority)) => entry.extend_from_slice(authority),
        _ => http_path(path, &mut entry),
    }
    String::from_utf8(entry).ok()
}

fn grpc_entry(grpc: &GrpcOp<'_>) -> Option<String> {
    let entry = [grpc.service, b"/", grpc.method].concat();
    let is = is_name(grpc.service) && is_name(grpc.method);
    String::from_utf8(entry).ok().filter(|_| is)
}

fn redis_entry(redis: &RedisOp<'_>, separators: Separators) -> Option<String> {
    let mut entry = redis.command.to_ascii_uppercase();
    if let Some(subcommand) = redis.subcommand {
        entry.push(b'|');
        entry.extend(subcommand.to_ascii_uppercase());
    }
    match &redis.script {
        Script::None => {}
        Script::Sha1(hex) => {
            entry.extend_from_slice(b" sha1:");
            entry.extend_from_slice(hex);
        }
        Script::Function(name) => {
            entry.push(b' ');
            entry.extend_from_slice(name);
        }
    }
    let mut words: Vec<Vec<u8>> = Vec::new();
    for (keys, mark) in [(&redis.keys, &b" "[..]), (&redis.channels, b" &")] {
        let Keys::Known(keys) = keys else {
            words.push([mark, b"*"].concat());
            continue;
        };
        keys.all(&mut |key| {
            let mut word = mark.to_vec();
            redis_key(key, separators, &mut word);
            if !words.contains(&word) {
                words.push(word);
            }
            true
        });
    }
    words.iter().for_each(|word| entry.extend_from_slice(word));
    String::from_utf8(entry).ok()
}

/// `hosts` and `databases` of a rule of its own.
pub(super) fn limits(operation: &Operation<'_>) -> Vec<String> {
    match operation {
        Operation::Http(HttpOp { authority: Some(authority), .. })
        | Operation::Grpc(GrpcOp { authority: Some(authority), .. }) => {
            match Host::of_authority(authority) {
                Some((Host::Name(name), _)) => match std::str::from_utf8(name) {
                    Ok(name) => vec![format!("  hosts: [{}]", quoted(&name.to_ascii_lowercase()))],
                    Err(_) => Vec::new(),
                },
                Some((Host::Addr(addr), _)) => {
                    vec![format!("  hosts: [{}]", quoted(&addr.to_string()))]
                }
                None => Vec::new(),
            }
        }
        Operation::Redis(redis) if !redis.databases.is_empty() => {
            let numbers: Vec<_> = redis.databases.iter().map(ToString::to_string).collect();
            vec![format!("  databases: [{}]", numbers.join(", "))]
        }
        _ => Vec::new(),
    }
}

/// Reads a rule, an item of a list of rules.
pub(super) fn rule(lines: &[String]) -> Option<Rule> {
    let mut text = "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: x}\n\
                    spec:\n"
        .to_owned();
    let outbound = lines.first().is_some_and(|line| line.starts_with("- to:"));
    text.push_str(if outbound { "  outbound:\n" } else { "  inbound:\n" });
    lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    let policy = crate::parse("suggestion", &text).ok()?.into_iter().next()?;
    policy.inbound.into_iter().chain(policy.outbound).flatten().next()
}

/// A YAML string. What is suggested is printable, so that nothing but quotes has to be escaped.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['\\', '"']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

/// The same where it must be.
pub(super) fn quoted_if_needed(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-./".contains(&b);
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if begins && text.bytes().all(plain) { text.to_owned() } else { quoted(text) }
}
