//! The live connections, so that a reload, a drain or a memory shortage can reach each.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use atomic_waker::AtomicWaker;
use weir_policy::op::{Endpoint, Side};

/// What a connection is told from outside. Bits, so that several can be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Notice {
    /// Policy, mode or limits changed: judge anew.
    Changed = 1,
    /// Weir is about to stop: end at the next message boundary.
    Goodbye = 2,
    /// The grace period is over.
    End = 4,
}

/// The side of a connection that others can reach.
#[derive(Debug, Default)]
pub(crate) struct Control {
    notices: AtomicU8,
    waker: AtomicWaker,
    /// What the connection is, as policies speak of it.
    endpoint: Option<Endpoint>,
}

impl Control {
    /// Takes the pending notices. Costs one load where there are none.
    pub(crate) fn take(&self) -> u8 {
        if self.notices.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.notices.swap(0, Ordering::Acquire)
        }
    }

    /// Names the task that is to be woken by a notice.
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    fn tell(&self, notice: Notice) {
        self.notices.fetch_or(notice as u8, Ordering::Release);
        self.waker.wake();
    }
}

/// All live connections. Its lock is taken when a connection begins or ends, never on the way
/// of the data.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    next: AtomicU64,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    controls: HashMap<u64, Arc<Control>>,
    /// What those that enter are told at once: that Weir stops.
    lasting: u8,
}

impl Registry {
    /// Enters a connection for as long as the entry lives.
    pub(crate) fn enter(self: &Arc<Self>, endpoint: &Endpoint) -> Entry {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut live = self.lock();
        let control = Arc::new(Control {
            notices: live.lasting.into(),
            waker: AtomicWaker::new(),
            endpoint: Some(*endpoint),
        });
        live.controls.insert(key, control.clone());
        drop(live);
        Entry { registry: self.clone(), key, control }
    }

    /// Tells every live connection; of an end, also those that were accepted and have yet to
    /// enter.
    pub(crate) fn tell_all(&self, notice: Notice) {
        let mut live = self.lock();
        if notice != Notice::Changed {
            live.lasting |= notice as u8;
        }
        let controls: Vec<_> = live.controls.values().cloned().collect();
        drop(live);
        for control in controls {
            control.tell(notice);
        }
    }

    /// The other ends of all live connections by side, and the ports that they are connected by.
    pub(crate) fn peers(&self) -> HashMap<(Side, IpAddr), BTreeSet<u16>> {
        let mut peers: HashMap<_, BTreeSet<_>> = HashMap::new();
        for endpoint in self.lock().controls.values().filter_map(|c| c.endpoint.as_ref()) {
            peers.entry((endpoint.side, endpoint.peer)).or_default().insert(endpoint.port);
        }
        peers
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the live ones.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: Arc<Registry>,
    key: u64,
    /// What others use to reach it.
    pub(crate) control: Arc<Control>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let live = &mut self.registry.lock().controls;
        live.remove(&self.key);
        // After a burst the map's room goes back too.
        if live.capacity() > 1024 && live.len() * 8 < live.capacity() {
            let room = live.len() * 2;
            live.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_enters_after_the_goodbye_is_told_too() {
        let registry = Arc::new(Registry::default());
        let peer = "10.0.0.1".parse().unwrap();
        let endpoint = Endpoint { side: Side::Outbound, peer, port: 6379 };
        let early = registry.enter(&endpoint);
        registry.tell_all(Notice::Changed);
        assert_eq!(registry.enter(&endpoint).control.take(), 0, "enters under what is in force");
        registry.tell_all(Notice::Goodbye);
        assert_eq!(early.control.take(), Notice::Changed as u8 | Notice::Goodbye as u8);
        assert_eq!(registry.enter(&endpoint).control.take(), Notice::Goodbye as u8);
    }
}
