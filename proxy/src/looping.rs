//! Whether the redirect takes Weir's own connections: then each would come back for ever.
//!
//! `weir init` exempts one user. Weir dials an own address at its outbound port, where nobody
//! listens (the listener is at the loopback addresses alone): that the dial is refused is well. If
//! it arrives at Weir's own listener, the redirect has brought it there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;
use tracing::{error, info};

use crate::shared::Shared;

/// How often it is looked at: `weir init` may come later.
const PERIOD: Duration = Duration::from_secs(5);
/// Time for the dial, and for its arrival.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether connections that Weir makes come back to it, of either family. `port` is that of the
/// outbound listener, whose connections must be accepted meanwhile.
pub(crate) async fn is_looping(shared: &Shared, port: u16) -> bool {
    for address in own_addresses() {
        if returns(shared, SocketAddr::new(address, port)).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Looks every few seconds, for ever. While connections come back, those from the pod are refused.
pub(crate) async fn watch(shared: std::sync::Arc<Shared>, port: u16) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let looping = is_looping(&shared, port).await;
        if shared.intercept.set_looping(looping) {
            if looping {
                error!(
                    "{}; until then connections from the pod are refused",
                    crate::run::Error::Looping
                );
            } else {
                info!("weir's own connections are no longer redirected to itself");
            }
        }
    }
}

/// Whether a connection to `own` arrives at Weir.
async fn returns(shared: &Shared, own: SocketAddr) -> io::Result<bool> {
    let socket = if own.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(own.ip(), 0))?;
    let returned = shared.intercept.await_return(socket.local_addr()?);
    let Ok(_connection) = timeout(PATIENCE, socket.connect(own)).await? else {
        return Ok(false);
    };
    // A loop that was there before the look at it may have used up what there is: then nothing is
    // accepted, and the queue of the listener answers for it.
    Ok(shared.budget.pressure().is_some() || timeout(PATIENCE, returned).await.is_ok())
}

/// An address of this machine for each family, none of them loopback.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        // A link-local address needs its interface named with it.
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    let addresses: Vec<_> = interfaces.iter().map(|interface| interface.ip()).collect();
    let first = |v4: bool| addresses.iter().copied().find(|ip| ip.is_ipv4() == v4 && usable(ip));
    [first(true), first(false)].into_iter().flatten().collect()
}
