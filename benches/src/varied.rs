//! Traffic whose paths and keys vary as in real life: what learning must see through, again and again.

use std::sync::Arc;

use crate::{
    answer::Expected,
    workload::{Front, Workload, http_get, redis_get, redis_reply, small_file},
};

/// How many different requests there are.
const REQUESTS: usize = 4000;
/// How many different keys.
const KEYS: usize = 8192;
/// How many different names are among them: more words than a profile names at one place.
const NAMES: usize = 300;

/// HTTP, Redis, and Redis pipelined, as the other runs have them, with `percent` of the full number of exchanges.
pub fn workloads(percent: usize) -> Vec<Workload> {
    let mut all = Workload::all(percent);
    all.retain(|workload| matches!(workload.key, "http" | "redis" | "redis_pipelined"));
    for workload in &mut all {
        workload.requests = match workload.front {
            Front::Http => (0..REQUESTS).map(|n| http_get(&path(n))).collect(),
            _ => (0..REQUESTS).map(|n| commands(n, workload.requests_each)).collect(),
        };
        workload.expected = Arc::new(match workload.front {
            Front::Http => Expected::Http(small_file()),
            _ => Expected::Exact(redis_reply().repeat(workload.requests_each)),
        });
    }
    all
}

/// All keys that the commands ask for.
pub fn keys() -> Vec<String> {
    (0..KEYS).map(key).collect()
}

fn commands(n: usize, count: usize) -> Vec<u8> {
    (n * count..(n + 1) * count).flat_map(|n| redis_get(&key(n % KEYS))).collect()
}

fn path(n: usize) -> String {
    match n % 5 {
        0 => format!("/varied/carts/{}", id(n) % 10_000_000),
        1 => format!("/varied/carts/{}/items/{}", id(n) % 10_000_000, n % 90),
        2 => format!("/varied/orders/{}", uuid(n)),
        3 => format!("/varied/users/{}/profile", name(n)),
        _ => "/varied/catalogue/offers".to_owned(),
    }
}

fn key(n: usize) -> String {
    match n % 4 {
        0 => format!("cart:{}", id(n) % 10_000_000),
        1 => format!("session:{:032x}", u128::from(id(n)) << 61 | u128::from(id(n + 7))),
        2 => format!("user:{}:profile", name(n)),
        _ => format!("stock:{}:{}", id(n) % 90, id(n) % 10_000),
    }
}

/// A number without any order, always the same.
fn id(n: usize) -> u64 {
    let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 3
}

fn uuid(n: usize) -> String {
    let (a, b) = (id(n), id(n + 1));
    let short = |bits: u64| bits & 0xffff;
    let (head, tail) = (a & 0xffff_ffff, b & 0xffff_ffff_ffff);
    format!("{head:08x}-{:04x}-4{:03x}-a{:03x}-{tail:012x}", short(a >> 32), a >> 52, b >> 52)
}

/// A name that no class takes.
fn name(n: usize) -> String {
    const SYLLABLES: [&str; 8] = ["ra", "mo", "lin", "ta", "ves", "ko", "ju", "nel"];
    let mut left = usize::try_from(id(n) % NAMES as u64).unwrap_or_default();
    let mut text = String::new();
    for _ in 0..3 {
        text.push_str(SYLLABLES[left % 8]);
        left /= 8;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_differ_and_ask_for_keys_that_are_kept() {
        let keys: HashSet<String> = keys().into_iter().collect();
        for workload in workloads(1) {
            let different: HashSet<&Vec<u8>> = workload.requests.iter().collect();
            // One that asks for several keys is over the sooner.
            let most = REQUESTS / workload.requests_each;
            assert!(different.len() > most / 3, "{}: {}", workload.key, different.len());
            for request in workload.requests.iter().filter(|_| workload.front == Front::Redis) {
                let text = String::from_utf8(request.clone()).unwrap();
                let asked: Vec<&str> = text.split("\r\n").skip(4).step_by(5).collect();
                assert_eq!(asked.len(), workload.requests_each);
                assert!(asked.iter().all(|key| keys.contains(*key)), "{asked:?}");
            }
        }
        assert_eq!(uuid(7).len(), 36);
        assert_eq!((0..REQUESTS).map(name).collect::<HashSet<_>>().len(), NAMES);
    }
}
