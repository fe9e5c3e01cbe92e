//! Memory: what a stream adds that stays open and says nothing.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::{
    calls::Call,
    client::{Client, within},
    target::{Place, start},
};
use crate::{Error, process::resident_kib, target::Kind};

/// Long enough for buffers to have gone back.
const SETTLE: Duration = Duration::from_millis(1000);

/// The memory of one proxy, freshly started.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Idle {
    /// Which proxy.
    pub target: Kind,
    /// Resident with one connection on which one call was had, in KiB.
    pub at_rest_kib: u64,
    /// How many streams were held on that connection.
    pub streams: usize,
    /// What each added, in bytes.
    pub bytes_per_stream: f64,
    /// Resident a second after the connection was closed, in KiB.
    pub after_closing_kib: u64,
}

/// Starts a proxy of its own and holds `count` calls through it on one connection, each with the first message of its answer. None for
/// what has no process or is not installed.
///
/// # Errors
/// If the proxy fails or answers wrongly.
pub fn measure(kind: Kind, place: &Place<'_>, count: usize) -> Result<Option<Idle>, Error> {
    let label = format!("{}-idle", kind.name().replace(' ', "-"));
    // What is missing has been said when the rounds began.
    let Some(target) = start(kind, &label, place, &mut Vec::new())? else { return Ok(None) };
    let Some(pid) = target.pid() else { return Ok(None) };
    let call = Call::held();
    let message = call.answer.concat();
    within(async {
        let mut client = Client::connect(target.address(call.front)).await?;
        let mut held = Vec::with_capacity(count + 1);
        let mut open = async |client: &mut Client| {
            let mut answer = client.ask(&call, call.path).await?;
            answer.read(&message).await?;
            held.push(answer);
            Ok::<_, Error>(())
        };
        open(&mut client).await?;
        sleep(SETTLE).await;
        let at_rest_kib = resident_kib(pid)?;
        for _ in 0..count {
            open(&mut client).await?;
        }
        sleep(SETTLE).await;
        let idle = resident_kib(pid)?;
        drop((client, held));
        sleep(SETTLE).await;
        Ok(Some(Idle {
            target: kind,
            at_rest_kib,
            streams: count,
            bytes_per_stream: idle.saturating_sub(at_rest_kib) as f64 * 1024.0 / count as f64,
            after_closing_kib: resident_kib(pid)?,
        }))
    })
}
