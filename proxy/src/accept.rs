//! Accepting: one task for each door's listeners, which pauses while the process has no room for more.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::{info, warn};
use weir_policy::op::Side;

use crate::budget::Pressure;
use crate::conn;
use crate::intercept::Door;
use crate::shared::Shared;
use crate::worker::Workers;

/// How often a paused listener looks again, beside being told of each connection that ends.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections at the listeners of `door` until the task is dropped.
pub(crate) async fn accept(
    listeners: Vec<TcpListener>,
    door: Door,
    shared: Arc<Shared>,
    workers: Arc<Workers>,
) {
    let mut paused = None;
    let mut turn = 0;
    loop {
        if let Some(pressure) = pressure(&shared, door) {
            pause(&mut paused, pressure, &shared).await;
            continue;
        }
        match next(&listeners, &mut turn).await {
            Ok((stream, client)) => {
                resume(&mut paused, &shared);
                start(stream, client, door, &shared, &workers);
            }
            Err(error) => match cause(&error) {
                Some(pressure) => pause(&mut paused, pressure, &shared).await,
                // The peer went away while it waited: accept(2) says to go on.
                None => tracing::debug!(%error, "a connection ended before it was accepted"),
            },
        }
        if paused.is_some() && shared.budget.pressure().is_none() {
            resume(&mut paused, &shared);
        }
    }
}

/// The next connection at any of the listeners, each of which gets its `turn`. One task for all of
/// them has no more than one connection in hand when accepting is to pause.
async fn next(listeners: &[TcpListener], turn: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for _ in 0..listeners.len() {
            let listener = &listeners[*turn];
            *turn = (*turn + 1) % listeners.len();
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// What stands against accepting one more. Nothing does where connections come back for ever: to
/// refuse the last of them ends those before it, which alone makes room again.
fn pressure(shared: &Shared, door: Door) -> Option<Pressure> {
    let ends_loops = door == Door::Redirect(Side::Outbound) && shared.intercept.is_looping();
    shared.budget.pressure().filter(|_| !ends_loops)
}

/// Hands an accepted socket to a worker.
fn start(
    stream: TcpStream,
    client: SocketAddr,
    door: Door,
    shared: &Arc<Shared>,
    workers: &Workers,
) {
    let guard = shared.budget.connection();
    // The socket was accepted on this runtime and is relayed on another's.
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let shared = shared.clone();
    workers.spawn(|place| async move {
        let _place = place;
        if let Ok(stream) = TcpStream::from_std(stream) {
            conn::serve(stream, (client, door), shared, guard).await;
        }
    });
}

/// Which shortage an error of accept(2) speaks of.
fn cause(error: &io::Error) -> Option<Pressure> {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => Some(Pressure::Descriptors),
        Some(Errno::NOBUFS | Errno::NOMEM) => Some(Pressure::Memory),
        _ => None,
    }
}

async fn pause(paused: &mut Option<Pressure>, pressure: Pressure, shared: &Shared) {
    if *paused != Some(pressure) {
        *paused = Some(pressure);
        shared.metrics().accept_paused(pressure.label());
        warn!(
            cause = pressure.label(),
            connections = shared.budget.connections(),
            memory_used = shared.budget.used(),
            "accepting pauses until there is room"
        );
    }
    let _ = tokio::time::timeout(PAUSE, shared.budget.released()).await;
}

fn resume(paused: &mut Option<Pressure>, shared: &Shared) {
    if let Some(pressure) = paused.take() {
        info!(
            cause = pressure.label(),
            connections = shared.budget.connections(),
            "accepting resumes"
        );
    }
}
