//! The words that may be shown: those that the profile names, and those of policies.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use weir_policy::entry::http::HttpTarget;
use weir_policy::entry::{Entry, Pattern};
use weir_policy::op::Side;
use weir_policy::profile::Profile;
use weir_policy::{Sequence, Snapshot, Token};

use crate::keyed::Keyed;

/// Words as they are in normalised paths and raw keys.
pub(crate) type Known = HashSet<Box<[u8]>, Keyed>;

/// The words in force, swapped whole.
#[derive(Debug, Default)]
pub(super) struct Words {
    all: ArcSwap<Known>,
    sources: Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    profile: Known,
    policy: Known,
}

impl Words {
    pub(super) fn load(&self) -> Guard<Arc<Known>> {
        self.all.load()
    }

    /// The profile names these.
    pub(super) fn of_profile(&self, profile: &Profile) {
        let mut words = Known::default();
        profile.words(&mut |word| {
            words.insert(unescaped(word).into());
        });
        self.change(|sources| std::mem::replace(&mut sources.profile, words));
    }

    /// These policies are in force.
    pub(super) fn of_policy(&self, policy: &Snapshot) {
        let mut words = Known::default();
        for policy in policy.policies() {
            let rules = [Side::Inbound, Side::Outbound].map(|side| policy.rules(side));
            for rule in rules.into_iter().flatten().flatten() {
                let entries = rule.allow.iter().chain(&rule.deny);
                entries.for_each(|entry| of_entry(entry, &mut words));
            }
        }
        self.change(|sources| std::mem::replace(&mut sources.policy, words));
    }

    fn change(&self, change: impl FnOnce(&mut Sources) -> Known) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let all: Known = sources.profile.union(&sources.policy).cloned().collect();
        // Under the lock, so that of two changes the later stands.
        if all != **self.all.load() {
            self.all.store(Arc::new(all));
        }
    }
}

fn of_entry(entry: &Entry, words: &mut Known) {
    match &entry.pattern {
        Pattern::Http(http) => match &http.target {
            HttpTarget::Path(path) => literals(path, words),
            HttpTarget::Asterisk | HttpTarget::Connect(_) => {}
        },
        Pattern::Grpc(grpc) => {
            let names = std::iter::once(&grpc.service).chain(&grpc.method);
            words.extend(names.map(|name| Box::from(name.as_bytes())));
        }
        Pattern::Redis(redis) => {
            let patterns = redis.keys.iter().chain(&redis.channels);
            patterns.for_each(|pattern| literals(pattern, words));
        }
        Pattern::Tls(_) => {}
    }
}

fn literals(sequence: &Sequence, words: &mut Known) {
    for (_, token) in &sequence.parts {
        if let Token::Literal(literal) = token {
            words.insert(literal.clone());
        }
    }
}

/// A word of an entry without its escapes: `\` before what has a meaning there, and `\xHH`.
fn unescaped(word: &str) -> Vec<u8> {
    let bytes = word.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = word.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, bytes.get(at + 1), hex) {
            (b'\\', Some(b'x'), Some(value)) => {
                out.push(value);
                at += 4;
            }
            (b'\\', Some(&next), _) => {
                out.push(next);
                at += 2;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use weir_policy::decide::Mode;
    use weir_policy::{Addresses, Defaults};

    use super::*;

    #[test]
    fn words_lose_their_escapes() {
        for (word, expected) in [
            ("carts", &b"carts"[..]),
            (r"\{int\}", b"{int}"),
            (r"a\x20b\\x41", b"a b\\x41"),
            (r"\xff\&", b"\xff&"),
            ("caf%C3%A9", b"caf%C3%A9"),
        ] {
            assert_eq!(unescaped(word), expected, "{word}");
        }
    }

    #[test]
    fn the_literals_of_all_lists_are_known() {
        let file = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: t}
spec:
  inbound:
  - {from: [{any: true}], ports: [80], protocol: http, allow: ["GET /carts/{int}/it%65ms"], deny: ["GET /admin/*"]}
  outbound:
  - {to: [{any: true}], ports: [6379], protocol: redis, allow: ["GET cart:{int}:a\\x20b", "SUBSCRIBE &news:*"]}
  - {to: [{any: true}], ports: [9090], protocol: grpc, allow: [shop.Cart/AddItem, "shop.Stock/*"]}
"#;
        let policies = weir_policy::parse("t.yaml", file).unwrap();
        let defaults = Defaults { mode: Mode::Learn, today: "2026-11-23".parse().unwrap() };
        let policy = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
        let words = Words::default();
        words.of_policy(&policy);
        let known = words.load();
        let mut known: Vec<&[u8]> = known.iter().map(|word| &**word).collect();
        known.sort_unstable();
        let expected: [&[u8]; 9] = [
            b"AddItem",
            b"a b",
            b"admin",
            b"cart",
            b"carts",
            b"items",
            b"news",
            b"shop.Cart",
            b"shop.Stock",
        ];
        assert_eq!(known, expected);
        words.of_policy(&Snapshot::default());
        assert!(words.load().is_empty());
    }
}
