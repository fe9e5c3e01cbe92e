//! The threads that relay: each runs a single-threaded runtime of its own, so that a connection
//! never moves between threads and its wake-ups cost no lock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::report::Reporter;

/// How often a worker hands its log batch over, when there is one.
const FLUSH: Duration = Duration::from_millis(50);

/// One relaying thread, seen from outside.
#[derive(Debug)]
struct Worker {
    handle: Handle,
    connections: Arc<AtomicUsize>,
}

/// All of them. Dropping it ends them, and waits until they have ended.
#[derive(Debug)]
pub(crate) struct Workers {
    list: Vec<Worker>,
    threads: Vec<std::thread::JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts `count` threads; each hands its batch of records over every 50 ms, and at its end.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub(crate) fn start(count: usize, reporter: Arc<Reporter>) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut list = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            list.push(Worker {
                handle: runtime.handle().clone(),
                connections: Arc::new(AtomicUsize::new(0)),
            });
            let stopped = stopped.clone();
            let reporter = reporter.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(run(stopped, reporter)))?;
            threads.push(thread);
        }
        Ok(Self { list, threads, stop })
    }

    /// Runs a connection on the thread that has the fewest. The future keeps its place there
    /// itself: one around it would need room for it twice.
    pub(crate) fn spawn<F>(&self, connection: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(worker) = self.list.iter().min_by_key(|worker| worker.connections.load(Relaxed))
        else {
            return;
        };
        worker.connections.fetch_add(1, Relaxed);
        let place = Place(worker.connections.clone());
        worker.handle.spawn(connection(place));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// A connection's place on a worker, while it is not dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn run(mut stopped: watch::Receiver<bool>, reporter: Arc<Reporter>) {
    let mut tick = tokio::time::interval(FLUSH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => reporter.flush(),
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    reporter.flush();
}
