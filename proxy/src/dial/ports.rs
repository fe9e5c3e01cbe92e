//! The local ports of the latest dials, by server: which to take once more before the kernel has
//! to search for one.
//!
//! For a socket without a port connect(2) tries one after the other, first those with an even
//! distance from the first (`__inet_hash_connect` in net/ipv4/inet_hashtables.c). Once half of them
//! are in `TIME_WAIT` towards a server, which takes 240 connections a second, each search passes
//! over 14,000 ports and costs more than a millisecond: long before there is none left, the search
//! is what limits the rate. A port by name costs nothing of the kind. Ports that Weir had a moment
//! ago are the ones to name: what is in `TIME_WAIT` is few then, and no port is taken from what the
//! application may bind or connect from.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Dials to one server within `TIME_WAIT` from which on ports are used again.
const ENOUGH: usize = 4096;
/// How long the kernel keeps a port after its connection (`TCP_TIMEWAIT_LEN`). Older ones are free
/// for all again.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Servers whose ports are remembered.
const SERVERS: usize = 64;

/// See the module's words.
pub(crate) struct Ports {
    began: Instant,
    servers: Mutex<HashMap<SocketAddr, VecDeque<Used>>>,
}

/// A port and the second since the beginning in which it was used.
#[derive(Clone, Copy)]
struct Used {
    port: u16,
    second: u32,
}

impl Default for Ports {
    fn default() -> Self {
        Self { began: Instant::now(), servers: Mutex::default() }
    }
}

impl Ports {
    /// The port that was used longest ago towards a server, if there were many within the last
    /// minute. It is forgotten.
    pub(crate) fn again(&self, server: SocketAddr, now: Instant) -> Option<u16> {
        let second = self.second(now);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = servers.get_mut(&server)?;
        while ports.front().is_some_and(|used| is_free(*used, second)) {
            ports.pop_front();
        }
        if ports.len() < ENOUGH { None } else { ports.pop_front().map(|used| used.port) }
    }

    /// Remembers from which port a server was reached.
    pub(crate) fn used(&self, server: SocketAddr, port: u16, now: Instant) {
        let second = self.second(now);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= SERVERS && !servers.contains_key(&server) {
            servers.retain(|_, ports| ports.back().is_some_and(|used| !is_free(*used, second)));
            if servers.len() >= SERVERS {
                return;
            }
        }
        servers.entry(server).or_default().push_back(Used { port, second });
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX)
    }
}

fn is_free(used: Used, second: u32) -> bool {
    u64::from(second.saturating_sub(used.second)) > TIME_WAIT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 8080))
    }

    fn filled(now: Instant) -> Ports {
        let ports = Ports::default();
        for port in 0..4096 {
            ports.used(server(1), port, now);
        }
        ports
    }

    #[test]
    fn the_oldest_is_used_again_once_there_are_many() {
        let now = Instant::now();
        let ports = filled(now);
        assert_eq!(ports.again(server(2), now), None);
        assert_eq!(ports.again(server(1), now), Some(0));
        assert_eq!(ports.again(server(1), now), None, "one fewer than enough");
        ports.used(server(1), 0, now);
        assert_eq!(ports.again(server(1), now), Some(1));
    }

    #[test]
    fn what_is_free_for_all_is_not_named() {
        let now = Instant::now();
        let ports = filled(now);
        let later = now + Duration::from_secs(62);
        assert_eq!(ports.again(server(1), later), None);
        ports.used(server(1), 7, later);
        assert_eq!(ports.servers.lock().unwrap()[&server(1)].len(), 1);
    }

    #[test]
    fn servers_are_bounded_and_forgotten() {
        let now = Instant::now();
        let ports = Ports::default();
        for number in 0..100 {
            ports.used(server(number), 1, now);
        }
        assert_eq!(ports.servers.lock().unwrap().len(), SERVERS);
        ports.used(server(200), 1, now + Duration::from_secs(62));
        assert_eq!(ports.servers.lock().unwrap().len(), 1);
    }
}
