//! Which core does what: the proxy alone on one, the load and the origins on another, so that they do not take turns.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores that are used, if this process may use two.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    chosen: Option<(usize, usize)>,
}

impl Cores {
    /// Takes the first two cores that this thread may run on and moves it to the second. Its children follow it there.
    pub fn claim() -> Self {
        let Ok(allowed) = sched_getaffinity(None) else { return Self { chosen: None } };
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let chosen = usable.next().zip(usable.next());
        let cores = Self { chosen };
        match chosen {
            Some((_, load)) if pin(load) => cores,
            _ => Self { chosen: None },
        }
    }

    /// Runs `start` on the proxy's core: what it spawns stays there.
    pub fn as_proxy<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some((proxy, load)) = self.chosen else { return start() };
        pin(proxy);
        let started = start();
        pin(load);
        started
    }

    /// Says for a person how the work is placed.
    pub fn describe(&self) -> String {
        match self.chosen {
            Some((proxy, load)) => {
                format!("proxy on core {proxy}, load and origins on core {load}")
            }
            None => "not pinned: fewer than two cores".to_owned(),
        }
    }
}

fn pin(core: usize) -> bool {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).is_ok()
}
