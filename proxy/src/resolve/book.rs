//! What is known of each name, and when it is looked up again. Does no I/O and has no clock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;
use weir_policy::Addresses;
use weir_policy::op::Side;

use super::lookup::Answer;

/// However short an answer holds, a name is not looked up again before.
pub(super) const SHORTEST: Duration = Duration::from_secs(5);
/// However long it holds, a name is looked up again after.
const LONGEST: Duration = Duration::from_mins(5);
/// Between two tries that failed lies at most this.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);
/// A lookup that has not come back by then will not.
const LOST: Duration = Duration::from_mins(2);

/// The names that the policies in force want resolved.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<String, Entry>);

/// Where a rule names a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) side: Side,
    pub(super) ports: RangeInclusive<u16>,
}

/// One name.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where rules name it.
    places: Vec<Place>,
    /// Its addresses, and until when each stands though no further answer names it.
    pub(super) addresses: BTreeMap<IpAddr, Instant>,
    /// When it is looked up next; while that is under way, when it counts as lost.
    due: Instant,
    under_way: bool,
    asked: Option<Instant>,
    /// When it was answered last.
    pub(super) answered: Option<Instant>,
    /// Lookups that failed since then.
    pub(super) failures: u32,
    /// Why the last one failed.
    pub(super) error: Option<String>,
    /// The last answer had more addresses than there may be.
    is_over: bool,
}

/// What bounds a name's addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many there may be.
    pub(super) most: usize,
    /// How long they stand beyond the answer that named them last.
    pub(super) grace: Duration,
}

/// What an answer changed, for the log and the metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Why the lookup failed, or half of it.
    pub(super) failed: Option<String>,
    /// It failed and the one before did not, or the other way round.
    pub(super) turned: bool,
    /// The name has no address any more.
    pub(super) emptied: bool,
    /// Addresses beyond the bound.
    pub(super) over: usize,
    /// There were none before.
    pub(super) newly_over: bool,
}

impl Book {
    /// Enters the names that are not in it; they are due at once.
    pub(super) fn add(&mut self, names: &[(String, Place)], now: Instant) {
        for (name, place) in names {
            let entry = self.0.entry(name.clone()).or_insert_with(|| Entry::new(now));
            if !entry.places.contains(place) {
                entry.places.push(place.clone());
            }
        }
    }

    /// Forgets what is not among the names.
    pub(super) fn retain(&mut self, names: &[(String, Place)]) {
        self.0.retain(|name, entry| {
            entry.places.retain(|place| names.iter().any(|(n, p)| n == name && p == place));
            !entry.places.is_empty()
        });
    }

    /// Up to `most` names that are due, those first that have waited longest: names whose servers
    /// do not answer take their time, and others are not to starve. They are under way then.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<String> {
        let mut due: Vec<_> = self.0.iter_mut().filter(|(_, entry)| entry.due <= now).collect();
        due.sort_by_key(|(_, entry)| entry.due);
        due.truncate(most);
        let mut names = Vec::new();
        for (name, entry) in due {
            entry.under_way = true;
            entry.asked = Some(now);
            entry.due = now + LOST;
            names.push(name.clone());
        }
        names
    }

    /// When the next name is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|entry| entry.due).min()
    }

    /// Looks every name up again as soon as its last lookup is old enough.
    pub(super) fn hurry(&mut self, now: Instant) {
        for entry in self.0.values_mut().filter(|entry| !entry.under_way) {
            let soonest = entry.asked.map_or(now, |asked| asked + SHORTEST);
            entry.due = entry.due.min(soonest);
        }
    }

    /// Whether every name has been looked up at least once.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled().next().is_none()
    }

    /// The names of which no lookup has ended yet, in order.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &str> {
        let is_settled = |entry: &Entry| entry.answered.is_some() || entry.error.is_some();
        self.0.iter().filter(move |(_, entry)| !is_settled(entry)).map(|(name, _)| name.as_str())
    }

    /// Takes note of an answer. `is_open` says whether a connection to or from this address is,
    /// in that place.
    /// None where nobody wants to know the name any more.
    pub(super) fn note(
        &mut self,
        name: &str,
        answer: Answer,
        now: Instant,
        bounds: Bounds,
        is_open: impl Fn(&Place, IpAddr) -> bool,
    ) -> Option<Noted> {
        let entry = self.0.get_mut(name)?;
        let had = !entry.addresses.is_empty() || entry.answered.is_none();
        let failed_before = entry.error.is_some();
        let ttl = answer.ttl.clamp(SHORTEST, LONGEST);
        let any = answer.families.iter().any(Result::is_ok);
        let places = entry.places.clone();
        let open = |address: &IpAddr| places.iter().any(|place| is_open(place, *address));
        // That there is no such name is an answer as good as any.
        let none = answer.families.iter().all(|family| family.as_ref().is_ok_and(Vec::is_empty));
        let mut noted = Noted::default();
        for (family, is_v4) in answer.families.into_iter().zip([true, false]) {
            match family {
                Ok(list) => {
                    entry.answered = Some(now);
                    let until = now + ttl + bounds.grace;
                    entry.addresses.extend(list.into_iter().map(|address| (address, until)));
                    entry.addresses.retain(|address, until| {
                        address.is_ipv4() != is_v4 || !none && *until > now || open(address)
                    });
                }
                Err(why) => noted.failed = noted.failed.or(Some(why)),
            }
        }
        noted.over = entry.bound(bounds.most, open);
        noted.newly_over = noted.over > 0 && !entry.is_over;
        entry.is_over = noted.over > 0;
        entry.schedule(now, any.then_some(ttl), noted.failed.clone());
        noted.turned = failed_before != entry.error.is_some();
        noted.emptied = had && entry.addresses.is_empty() && noted.failed.is_none();
        Some(noted)
    }

    /// What the names resolve to.
    pub(super) fn addresses(&self) -> Addresses {
        let mut addresses = Addresses::default();
        for (name, entry) in self.0.iter().filter(|(_, entry)| !entry.addresses.is_empty()) {
            addresses.insert(name, entry.addresses.keys().copied().collect());
        }
        addresses
    }

    /// The names, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter()
    }
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            places: Vec::new(),
            addresses: BTreeMap::new(),
            due: now,
            under_way: false,
            asked: None,
            answered: None,
            failures: 0,
            error: None,
            is_over: false,
        }
    }

    /// Drops what is beyond the bound, and says how many. Those with connections stay before
    /// others, then those that were named last, then the lower: of the same answer the same.
    fn bound(&mut self, most: usize, open: impl Fn(&IpAddr) -> bool) -> usize {
        let over = self.addresses.len().saturating_sub(most);
        if over > 0 {
            let mut order: Vec<_> = std::mem::take(&mut self.addresses).into_iter().collect();
            order.sort_by_cached_key(|(address, until)| {
                (!open(address), std::cmp::Reverse(*until), *address)
            });
            order.truncate(most);
            self.addresses.extend(order);
        }
        over
    }

    /// `ttl`: how long what was answered holds, if anything was.
    fn schedule(&mut self, now: Instant, ttl: Option<Duration>, failed: Option<String>) {
        self.under_way = false;
        self.failures = if failed.is_some() { self.failures.saturating_add(1) } else { 0 };
        let back_off = self
            .failures
            .checked_sub(1)
            .map(|failures| SHORTEST.saturating_mul(1 << failures.min(8)).min(LONGEST_BACK_OFF));
        self.due = now + ttl.into_iter().chain(back_off).min().unwrap_or(LONGEST);
        self.error = failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { most: 4, grace: Duration::from_secs(60) };
    const NAME: &str = "redis.shop";

    fn at(side: Side, port: u16) -> Place {
        Place { side, ports: port..=port }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ok(addresses: &[&str], ttl: u64) -> Answer {
        let all = addresses.iter().map(|address| ip(address));
        let (v4, v6) = all.partition(IpAddr::is_ipv4);
        Answer { families: [Ok(v4), Ok(v6)], ttl: secs(ttl) }
    }

    fn failed() -> Answer {
        let why = || Err("SERVFAIL".to_owned());
        Answer { families: [why(), why()], ttl: Duration::ZERO }
    }

    /// A book with one name, and a clock that is set by hand.
    struct Desk {
        book: Book,
        start: Instant,
        open: Vec<IpAddr>,
    }

    impl Desk {
        fn new() -> Self {
            let (mut book, start) = (Book::default(), Instant::now());
            book.add(&[(NAME.into(), at(Side::Outbound, 6379))], start);
            assert!(!book.is_settled());
            assert_eq!(book.take_due(start, 9), [NAME]);
            Self { book, start, open: Vec::new() }
        }

        /// The answer of a lookup that ends at this second.
        fn note(&mut self, at: u64, answer: Answer) -> Noted {
            let open = &self.open;
            let is_open = |place: &Place, address| {
                place.side == Side::Outbound
                    && place.ports.contains(&6379)
                    && open.contains(&address)
            };
            let now = self.start + secs(at);
            let noted = self.book.note(NAME, answer, now, BOUNDS, is_open);
            assert!(self.book.is_settled());
            noted.unwrap()
        }

        fn addresses(&self) -> Vec<String> {
            self.book.addresses().get(NAME).iter().map(ToString::to_string).collect()
        }

        fn due(&self) -> u64 {
            (self.book.next_due().unwrap() - self.start).as_secs()
        }
    }

    #[test]
    fn a_name_is_looked_up_again_by_its_ttl_within_bounds() {
        for (ttl, due) in [(0, 5), (4, 5), (30, 30), (300, 300), (86_400, 300)] {
            let mut desk = Desk::new();
            assert_eq!(desk.note(0, ok(&["10.0.0.1"], ttl)), Noted::default());
            assert_eq!(desk.due(), due, "{ttl}");
            let at = desk.start + secs(due);
            assert!(desk.book.take_due(at - secs(1), 9).is_empty());
            assert_eq!(desk.book.take_due(at, 9), [NAME]);
            assert!(desk.book.take_due(at, 9).is_empty(), "it is under way");
        }
    }

    #[test]
    fn an_address_that_answers_no_longer_name_stands_for_a_grace() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1", "2001:db8::1"], 30));
        desk.note(30, ok(&["10.0.0.2", "2001:db8::1"], 30));
        assert_eq!(desk.addresses(), ["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        desk.note(89, ok(&["10.0.0.2"], 30));
        assert_eq!(desk.addresses(), ["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        desk.note(90, ok(&["10.0.0.2"], 30));
        assert_eq!(desk.addresses(), ["10.0.0.2", "2001:db8::1"]);
        desk.note(120, ok(&["10.0.0.2"], 30));
        assert_eq!(desk.addresses(), ["10.0.0.2"]);
    }

    #[test]
    fn an_address_stands_while_connections_to_it_are_open() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1", "10.0.0.2"], 30));
        desk.open = vec![ip("10.0.0.1"), ip("10.0.0.9")];
        desk.note(1000, ok(&["10.0.0.3"], 30));
        assert_eq!(desk.addresses(), ["10.0.0.1", "10.0.0.3"]);
        assert!(!desk.note(1030, ok(&[], 30)).emptied);
        assert_eq!(desk.addresses(), ["10.0.0.1"]);
        desk.open.clear();
        assert!(desk.note(1060, ok(&[], 30)).emptied);
        assert_eq!(desk.addresses(), [""; 0]);
    }

    #[test]
    fn a_failure_keeps_the_last_answer_and_is_tried_again_ever_later() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1"], 30));
        let mut at = 30;
        for (n, wait) in [5, 10, 20, 40, 60, 60, 60].into_iter().enumerate() {
            let noted = desk.note(at, failed());
            assert_eq!((noted.failed.is_some(), noted.turned), (true, n == 0));
            assert_eq!(desk.due(), at + wait);
            at += wait;
        }
        // Long after its grace is over.
        desk.note(10_000, failed());
        assert_eq!(desk.addresses(), ["10.0.0.1"]);
        let noted = desk.note(10_060, ok(&["10.0.0.2"], 30));
        assert_eq!(noted, Noted { turned: true, ..Noted::default() });
        assert_eq!((desk.addresses(), desk.due()), (vec!["10.0.0.2".to_owned()], 10_090));
    }

    #[test]
    fn a_family_that_fails_keeps_its_own_addresses() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1", "2001:db8::1"], 30));
        let half = Answer { families: [Ok(vec![ip("10.0.0.2")]), Err("x".into())], ttl: secs(30) };
        assert_eq!(desk.note(1000, half).failed.as_deref(), Some("x"));
        assert_eq!(desk.addresses(), ["10.0.0.2", "2001:db8::1"]);
        assert_eq!(desk.due(), 1005);
    }

    #[test]
    fn a_name_that_does_not_exist_matches_nothing_at_once() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1", "2001:db8::1"], 300));
        assert!(desk.note(30, ok(&[], 30)).emptied);
        assert_eq!(desk.addresses(), [""; 0]);
        assert!(!desk.note(60, ok(&[], 30)).emptied, "told once");
        let mut desk = Desk::new();
        assert!(desk.note(0, ok(&[], 30)).emptied, "told at the start too");
    }

    #[test]
    fn addresses_are_bounded_and_those_in_use_stay() {
        let mut desk = Desk::new();
        desk.open = vec![ip("10.0.0.9")];
        desk.note(0, ok(&["10.0.0.9", "10.0.0.8"], 30));
        let many = ["10.0.1.5", "10.0.1.4", "10.0.1.3", "10.0.1.2", "10.0.1.1"];
        let noted = desk.note(30, ok(&many, 30));
        assert_eq!((noted.over, noted.newly_over), (3, true));
        assert_eq!(desk.addresses(), ["10.0.0.9", "10.0.1.1", "10.0.1.2", "10.0.1.3"]);
        let noted = desk.note(60, ok(&many[1..], 30));
        assert_eq!((noted.over, noted.newly_over), (1, false), "logged once");
        assert_eq!(desk.addresses(), ["10.0.0.9", "10.0.1.1", "10.0.1.2", "10.0.1.3"]);
    }

    #[test]
    fn whoever_hurries_waits_for_the_shortest_time_all_the_same() {
        let mut desk = Desk::new();
        desk.book.hurry(desk.start + secs(1));
        assert_eq!(desk.due(), LOST.as_secs(), "it is under way");
        desk.note(1, ok(&["10.0.0.1"], 300));
        desk.book.hurry(desk.start + secs(2));
        assert_eq!(desk.due(), 5);
        let now = desk.start + secs(5);
        assert_eq!(desk.book.take_due(now, 9), [NAME]);
    }

    /// Of two names of which one can be looked up at a time, each has its turn, though the first
    /// of them in order fails for ever and is due again by the time the lookup is over.
    #[test]
    fn no_name_starves_behind_those_that_fail() {
        let mut desk = Desk::new();
        desk.book.add(&[("a".to_owned(), at(Side::Outbound, 6379))], desk.start);
        assert_eq!(desk.book.take_due(desk.start, 9), ["a"]);
        desk.book.note("a", failed(), desk.start, BOUNDS, |_, _| false);
        desk.note(1, ok(&["10.0.0.1"], 5));
        assert_eq!(desk.book.take_due(desk.start + secs(5), 1), ["a"]);
        desk.book.note("a", failed(), desk.start + secs(35), BOUNDS, |_, _| false);
        assert_eq!(desk.book.take_due(desk.start + secs(60), 1), [NAME]);
        assert_eq!(desk.book.take_due(desk.start + secs(60), 1), ["a"]);
    }

    #[test]
    fn names_come_and_go_with_the_policy() {
        let mut desk = Desk::new();
        desk.note(0, ok(&["10.0.0.1"], 300));
        let other = ("b".to_owned(), at(Side::Inbound, 6379));
        desk.book.add(std::slice::from_ref(&other), desk.start);
        assert!(!desk.book.is_settled());
        assert!(desk.book.unsettled().eq(["b"]));
        assert_eq!(desk.book.take_due(desk.start, 9), ["b"]);
        desk.book.retain(&[other]);
        assert_eq!(desk.addresses(), [""; 0]);
        let late = desk.book.note(NAME, failed(), desk.start, BOUNDS, |_, _| false);
        assert_eq!(late, None);
        assert_eq!(desk.book.entries().count(), 1);
    }
}
