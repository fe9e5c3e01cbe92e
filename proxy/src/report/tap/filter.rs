//! Which records a tap wants, and how it says so in the target of its request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use weir_policy::op::{Protocol, Side};

use super::{Answers, Glob, Seen};
use crate::config::units;
use crate::report::Verdict;
use crate::report::metrics::{PROTOCOLS, SIDES, protocol_word, side_word};

/// Of each list one must match; an empty one matches all. What a record does not have (a status,
/// say) matches no filter for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What is spoken.
    pub protocols: Vec<Protocol>,
    /// Towards the pod or from it.
    pub sides: Vec<Side>,
    /// The other end.
    pub peers: Vec<IpNet>,
    /// The server's port.
    pub ports: Vec<u16>,
    /// What was decided.
    pub verdicts: Vec<Verdict>,
    /// The operation's shape.
    pub ops: Vec<Glob>,
    /// The answer.
    pub statuses: Vec<Answers>,
    /// The transaction took longer.
    pub slower_than: Option<Duration>,
}

impl Filter {
    /// Whether the record is wanted. `op` is its operation as a JSON string with its quotes, or
    /// empty.
    pub(super) fn matches(&self, seen: &Seen, op: &[u8]) -> bool {
        wanted(&self.protocols, |protocol| *protocol == seen.protocol)
            && wanted(&self.sides, |side| *side == seen.side)
            && wanted(&self.ports, |port| *port == seen.port)
            && wanted(&self.verdicts, |verdict| *verdict == seen.verdict)
            && wanted(&self.peers, |peers| peers.contains(&seen.peer))
            && wanted(&self.statuses, |answers| answers.contain(seen.status))
            && self
                .slower_than
                .is_none_or(|than| seen.duration_us.is_some_and(|us| us > micros(than)))
            && (self.ops.is_empty() || shape(op).is_some_and(|op| self.has_op(&op)))
    }

    fn has_op(&self, op: &str) -> bool {
        self.ops.iter().any(|glob| glob.matches(op))
    }

    /// As the query of a target, without `?`; [`from_query`](Self::from_query) reads it.
    pub fn to_query(&self) -> String {
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            encode(value, &mut query);
        };
        self.protocols.iter().for_each(|it| add("protocol", protocol_word(*it)));
        self.sides.iter().for_each(|it| add("side", side_word(*it)));
        self.peers.iter().for_each(|it| add("peer", &it.to_string()));
        self.ports.iter().for_each(|it| add("port", &it.to_string()));
        self.verdicts.iter().for_each(|it| add("verdict", it.label()));
        self.ops.iter().for_each(|it| add("op", &it.to_string()));
        self.statuses.iter().for_each(|it| add("status", &it.to_string()));
        self.slower_than.iter().for_each(|it| add("slower-than", &units::show_duration(*it)));
        query
    }

    /// Reads the query of a target.
    ///
    /// # Errors
    /// What is wrong, in words for the user.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("`{pair}` has no value"))?;
            let value = decode(value).ok_or_else(|| format!("`{value}` is not percent-encoded"))?;
            match name {
                "protocol" => filter.protocols.push(protocol(&value)?),
                "side" => filter.sides.push(side(&value)?),
                "peer" => filter.peers.push(peer(&value)?),
                "port" => filter.ports.push(port(&value)?),
                "verdict" => filter.verdicts.push(verdict(&value)?),
                "op" => filter.ops.push(value.parse()?),
                "status" => filter.statuses.push(value.parse()?),
                "slower-than" => filter.slower_than = Some(units::duration(&value)?),
                _ => return Err(format!("there is no filter `{name}`")),
            }
        }
        Ok(filter)
    }
}

fn wanted<T>(wanted: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The text of a JSON string. Most have nothing escaped in them.
fn shape(json: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(json).ok()?;
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The words for protocols.
pub fn protocols() -> impl Iterator<Item = &'static str> {
    PROTOCOLS.into_iter().map(protocol_word)
}

/// The words for sides.
pub fn sides() -> impl Iterator<Item = &'static str> {
    SIDES.into_iter().map(side_word)
}

/// The words for verdicts.
pub fn verdicts() -> impl Iterator<Item = &'static str> {
    Verdict::ALL.into_iter().map(Verdict::label)
}

/// The protocol of this name.
///
/// # Errors
/// There is none.
pub fn protocol(text: &str) -> Result<Protocol, String> {
    PROTOCOLS.into_iter().find(|it| protocol_word(*it) == text).ok_or_else(|| no(text, protocols()))
}

/// The side of this name.
///
/// # Errors
/// There is none.
pub fn side(text: &str) -> Result<Side, String> {
    SIDES.into_iter().find(|it| side_word(*it) == text).ok_or_else(|| no(text, sides()))
}

/// The verdict of this name.
///
/// # Errors
/// There is none.
pub fn verdict(text: &str) -> Result<Verdict, String> {
    Verdict::ALL.into_iter().find(|it| it.label() == text).ok_or_else(|| no(text, verdicts()))
}

fn no(text: &str, words: impl Iterator<Item = &'static str>) -> String {
    format!("`{text}` is none of {}", words.collect::<Vec<_>>().join(", "))
}

/// Reads an address or a range. An IPv4-mapped address is the IPv4 address that it is of.
///
/// # Errors
/// It is neither.
pub fn peer(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical().into()),
        Err(_) => IpNet::from_str(text).map_err(|_| {
            format!("`{text}` is not an address or a range, as in `10.0.0.7` or `10.0.0.0/8`")
        }),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is not a port"))
}

/// Percent-encodes all that could mean something in a query.
fn encode(value: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.push('%');
            out.extend(digits.map(char::from));
        }
    }
}

fn decode(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut out = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Status;

    fn seen() -> Seen {
        Seen {
            protocol: Protocol::Http,
            side: Side::Inbound,
            peer: "10.0.0.7".parse().unwrap(),
            port: 8080,
            verdict: Verdict::Allowed,
            status: Status::Http(404),
            duration_us: Some(1500),
        }
    }

    fn matches(query: &str) -> bool {
        Filter::from_query(query).unwrap().matches(&seen(), br#""GET /caf\\{\u00e9}""#)
    }

    #[test]
    fn each_filter_takes_its_own() {
        for (query, expected) in [
            ("", true),
            ("protocol=http", true),
            ("protocol=grpc", false),
            ("protocol=redis", false),
            ("protocol=redis&protocol=http", true),
            ("side=inbound", true),
            ("side=outbound", false),
            ("peer=10.0.0.7", true),
            ("peer=10.0.0.8&peer=10.0.0.0/24", true),
            ("peer=::ffff:10.0.0.7", true),
            ("peer=::/0", false),
            ("port=8080", true),
            ("port=80", false),
            ("verdict=allowed", true),
            ("verdict=refused&verdict=unread", false),
            ("status=4xx", true),
            ("status=%3E%3d500", false),
            ("status=ok", false),
            ("op=GET%20/caf\\{\u{e9}}", true),
            ("op=GET *", true),
            ("op=POST%20*", false),
            ("slower-than=1ms", true),
            ("slower-than=2ms", false),
            ("protocol=http&op=*caf*&status=404&slower-than=1ms", true),
            ("protocol=http&op=*caf*&status=404&slower-than=1s", false),
        ] {
            assert_eq!(matches(query), expected, "{query}");
        }
    }

    #[test]
    fn what_a_record_does_not_have_matches_no_filter() {
        let bare = Seen { status: Status::None, duration_us: None, ..seen() };
        for (query, expected) in
            [("", true), ("op=*", false), ("status=<999", false), ("slower-than=0s", false)]
        {
            assert_eq!(Filter::from_query(query).unwrap().matches(&bare, b""), expected, "{query}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (query, expected) in [
            ("protocol", "`protocol` has no value"),
            ("protocol=smtp", "`smtp` is none of http, grpc, redis"),
            ("side=in", "`in` is none of inbound, outbound"),
            ("verdict=maybe", "`maybe` is none of allowed, would-refuse, refused, unread"),
            ("peer=10.0.0.0/33", "`10.0.0.0/33` is not an address or a range"),
            ("port=65536", "`65536` is not a port"),
            ("status=%", "not percent-encoded"),
            ("status=%3", "not percent-encoded"),
            ("op=%ff", "not percent-encoded"),
            ("op=", "write a pattern"),
            ("slower-than=1", "not a duration"),
            ("colour=red", "there is no filter `colour`"),
        ] {
            let error = Filter::from_query(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_is_read(
            op in "\\PC{1,20}", status in "[1-9]xx|>=[1-9][0-9]{2}|[A-Z]{1,15}",
            peer in any::<IpAddr>(), length in 0..=32_u8, port in any::<u16>(), millis in any::<u32>(),
        ) {
            let peer = peer.to_canonical();
            let filter = Filter {
                protocols: PROTOCOLS.to_vec(),
                sides: SIDES.to_vec(),
                peers: vec![peer.into(), IpNet::new(peer, length).unwrap()],
                ports: vec![port],
                verdicts: Verdict::ALL.to_vec(),
                ops: vec![op.parse().unwrap()],
                statuses: vec![status.parse().unwrap()],
                slower_than: Some(Duration::from_millis(millis.into())),
            };
            let query = filter.to_query();
            prop_assert!(query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
            prop_assert_eq!(Filter::from_query(&query), Ok(filter));
        }

        #[test]
        fn no_query_is_a_fault(query in "\\PC*") {
            let _ = Filter::from_query(&query);
        }
    }
}
