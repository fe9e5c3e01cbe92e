//! How connections come in: where each wanted to go, and those that Weir must not carry.
//!
//! The kernel completes the handshake of a connection that it redirects and remembers where it was
//! to go (`SO_ORIGINAL_DST`). A connection that did not come so, or that leads back to Weir, is
//! reset: nobody gets past a policy, or round in circles, by dialling Weir itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use weir_policy::op::{Endpoint, Side};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everything goes to this server, as inbound to it.
    Forward(SocketAddr),
    /// The redirect brings connections of this side.
    Redirect(Side),
}

impl Door {
    /// The side that connections here are judged by.
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Forward(_) => Side::Inbound,
            Self::Redirect(side) => side,
        }
    }
}

/// The ends of a connection, as the pod and its peer know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Whether it is towards the pod or from it.
    pub(crate) side: Side,
    /// Who dialled.
    pub(crate) client: SocketAddr,
    /// Where to.
    pub(crate) server: SocketAddr,
}

impl Way {
    /// The connection as policies speak of it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let peer = match self.side {
            Side::Inbound => self.client,
            Side::Outbound => self.server,
        };
        Endpoint { side: self.side, peer: peer.ip().to_canonical(), port: self.server.port() }
    }
}

/// Why a connection is none that Weir carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was dialled to Weir's listener, or no redirect of Weir's brought it.
    NotRedirected,
    /// It came in for an address that is not this machine's: Weir is nobody's way elsewhere.
    NotLocal,
    /// It leads to a port of Weir's own on this machine.
    OwnPort,
    /// The redirect takes Weir's own connections, so that this one would come back for ever.
    Looping,
}

impl Refusal {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::NotRedirected, Self::NotLocal, Self::OwnPort, Self::Looping];

    /// The word in log and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotRedirected => "not_redirected",
            Self::NotLocal => "not_local",
            Self::OwnPort => "own_port",
            Self::Looping => "looping",
        }
    }
}

/// What becomes of a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is carried, if the policy lets it.
    Carried,
    /// It is reset, counted and logged.
    Refused(Refusal),
    /// It is Weir's own, made to see whether it would come back. It has.
    Returned,
}

/// What the sidecar knows of the redirect before it.
#[derive(Debug, Default)]
pub(crate) struct Intercept {
    /// The ports that Weir itself listens at.
    own_ports: Vec<u16>,
    own_addresses: OwnAddresses,
    looping: AtomicBool,
    /// The local address of a connection that must not come back, and who waits to hear of it.
    awaited: Mutex<Option<(SocketAddr, oneshot::Sender<()>)>>,
}

impl Intercept {
    /// For a sidecar that listens at these ports, the admin endpoint's included.
    pub(crate) fn new(own_ports: Vec<u16>) -> Self {
        Self { own_ports, ..Self::default() }
    }

    /// Whether the redirect takes Weir's own connections, as far as is known.
    pub(crate) fn is_looping(&self) -> bool {
        self.looping.load(Relaxed)
    }

    /// Takes note of whether it does, and answers whether that is new.
    pub(crate) fn set_looping(&self, looping: bool) -> bool {
        self.looping.swap(looping, Relaxed) != looping
    }

    /// From here on a connection from `local` is Weir's own: the receiver hears of it.
    pub(crate) fn await_return(&self, local: SocketAddr) -> oneshot::Receiver<()> {
        let (told, returned) = oneshot::channel();
        *self.awaited() = Some((local, told));
        returned
    }

    fn awaited(&self) -> MutexGuard<'_, Option<(SocketAddr, oneshot::Sender<()>)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out where an accepted connection wanted to go, and whether Weir carries it. Where
    /// that cannot be told the server is the address at which it was accepted.
    pub(crate) fn receive(
        &self,
        stream: &TcpStream,
        client: SocketAddr,
        door: Door,
    ) -> (Way, Arrival) {
        let way = |server| Way { side: door.side(), client: canonical(client), server };
        let side = match door {
            Door::Forward(upstream) => return (way(upstream), Arrival::Carried),
            Door::Redirect(side) => side,
        };
        let server = match original_destination(stream, client) {
            Ok(server) if !server.ip().is_loopback() => server,
            Ok(server) => return (way(server), Arrival::Refused(Refusal::NotRedirected)),
            Err(_) => {
                let accepted_at = stream.local_addr().map_or(client, canonical);
                return (way(accepted_at), Arrival::Refused(Refusal::NotRedirected));
            }
        };
        let arrival = if self.own_ports.contains(&server.port()) {
            self.at_own_port(stream, client, server)
        } else {
            Arrival::Carried
        };
        let refusal = match (arrival, side) {
            (Arrival::Carried, Side::Outbound) if self.is_looping() => Refusal::Looping,
            // What cannot be told is not carried.
            (Arrival::Carried, Side::Inbound)
                if !self.own_addresses.contain(server.ip()).unwrap_or(false) =>
            {
                Refusal::NotLocal
            }
            _ => return (way(server), arrival),
        };
        (way(server), Arrival::Refused(refusal))
    }

    /// A connection to a port that Weir listens at, here or on another machine.
    fn at_own_port(&self, stream: &TcpStream, client: SocketAddr, server: SocketAddr) -> Arrival {
        if stream.local_addr().map(canonical).is_ok_and(|local| local == server) {
            return Arrival::Refused(Refusal::NotRedirected);
        }
        let mut awaited = self.awaited();
        if awaited.as_ref().is_some_and(|(local, _)| *local == canonical(client)) {
            if let Some((_, told)) = awaited.take() {
                // Nobody waits any more: then nobody needs to know.
                let _ = told.send(());
            }
            return Arrival::Returned;
        }
        drop(awaited);
        match self.own_addresses.contain(server.ip()) {
            // What cannot be told is taken for a loop.
            Ok(true) | Err(_) => Arrival::Refused(Refusal::OwnPort),
            // A peer's endpoint is as good as any: its metrics, say.
            Ok(false) => Arrival::Carried,
        }
    }
}

/// Where the redirect found the connection going: `SO_ORIGINAL_DST` of netfilter's
/// `nf_conntrack`, `IP6T_SO_ORIGINAL_DST` for IPv6.
///
/// # Errors
/// What `getsockopt(2)` says: `ENOENT` where connection tracking knows nothing of it.
fn original_destination(stream: &TcpStream, client: SocketAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = match client {
        SocketAddr::V4(_) => socket.original_dst_v4()?,
        SocketAddr::V6(_) => socket.original_dst_v6()?,
    };
    found.as_socket().map(canonical).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// IPv4 in IPv6 is IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // With its scope, without which a link-local address leads nowhere.
        IpAddr::V6(_) => address,
    }
}

/// For how long an address counts as this machine's after the interfaces had it: it may move on.
const OWN_FOR: Duration = Duration::from_secs(1);

/// The addresses of this network namespace's interfaces, as they were when last looked at.
///
/// The redirect takes whatever a peer on the same link sends to the pod's interface, for whatever
/// address. Without Weir the kernel throws away what is not for this machine, unless it forwards.
#[derive(Debug, Default)]
struct OwnAddresses(ArcSwapOption<Look>);

/// What the interfaces had, and when.
#[derive(Debug)]
struct Look {
    at: Instant,
    addresses: Vec<IpAddr>,
}

impl OwnAddresses {
    /// Whether an interface has the address. The interfaces are looked at for an address that they
    /// did not have before, and where the last look is too old.
    ///
    /// # Errors
    /// What `getifaddrs(3)` says.
    fn contain(&self, address: IpAddr) -> io::Result<bool> {
        let known = |look: &Look| look.at.elapsed() < OWN_FOR && look.addresses.contains(&address);
        if address.is_loopback() || self.0.load().as_deref().is_some_and(known) {
            return Ok(true);
        }
        let at = Instant::now();
        let interfaces = if_addrs::get_if_addrs()?;
        let addresses: Vec<_> = interfaces.iter().map(|interface| interface.ip()).collect();
        let found = addresses.contains(&address);
        self.0.store(Some(Arc::new(Look { at, addresses })));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_the_other_end() {
        let (client, server) = ("[::ffff:10.0.0.7]:4711", "192.0.2.1:6379");
        let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
        let way = Way { side: Side::Inbound, client, server };
        let peer = "10.0.0.7".parse().unwrap();
        assert_eq!(way.endpoint(), Endpoint { side: Side::Inbound, peer, port: 6379 });
        let way = Way { side: Side::Outbound, ..way };
        let peer = "192.0.2.1".parse().unwrap();
        assert_eq!(way.endpoint(), Endpoint { side: Side::Outbound, peer, port: 6379 });
    }

    #[test]
    fn own_addresses_are_known() {
        for (address, own) in [("127.0.0.1", true), ("127.9.9.9", true), ("192.0.2.1", false)] {
            let known = OwnAddresses::default();
            assert_eq!(known.contain(address.parse().unwrap()).unwrap(), own, "{address}");
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let intercept = Intercept::default();
        assert!(!intercept.set_looping(false));
        assert!(intercept.set_looping(true));
        assert!(!intercept.set_looping(true));
        assert!(intercept.is_looping());
    }

    /// Nobody's redirect is before a test's own listener.
    #[tokio::test]
    async fn a_connection_that_was_not_redirected_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let _client = TcpStream::connect(at).await.unwrap();
        let (stream, client) = listener.accept().await.unwrap();
        let intercept = Intercept::new(vec![at.port()]);
        for side in [Side::Inbound, Side::Outbound] {
            let (way, arrival) = intercept.receive(&stream, client, Door::Redirect(side));
            assert_eq!(arrival, Arrival::Refused(Refusal::NotRedirected));
            assert_eq!(way, Way { side, client, server: at });
        }
        let upstream = "192.0.2.1:80".parse().unwrap();
        let (way, arrival) = intercept.receive(&stream, client, Door::Forward(upstream));
        assert_eq!(arrival, Arrival::Carried);
        assert_eq!(way.server, upstream);
    }
}
