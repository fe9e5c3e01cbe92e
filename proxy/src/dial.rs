//! Dialling servers, also where the ports that the kernel would choose are used up.
//!
//! All of a sidecar's connections to one server come from one address, and a port is in `TIME_WAIT`
//! for a minute after its connection was closed: some 28,000 a minute, and connect(2) says
//! `EADDRNOTAVAIL`. The kernel lets a socket that asks for a port by name take such a one over
//! (`tcp_twsk_unique` in net/ipv4/tcp_ipv4.c), but never chooses one itself. So Weir names one: of
//! its own latest ([`ports`]) where there were many dials to a server, else any.

mod ports;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

pub(crate) use ports::Ports;

use crate::net;
use crate::report::Metrics;

/// How many ports are tried when the kernel finds none. Nearly every one of them is in `TIME_WAIT`
/// then, so that the first does.
const PORT_TRIES: usize = 8;
/// How many of the latest ports are tried before the kernel is asked for one.
const AGAIN_TRIES: usize = 4;
/// The ports that the kernel chooses from, of IPv6 too: see ip(7).
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Those of them that it leaves to servers which listen there: see ip-sysctl of the kernel.
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Connects within `timeout`.
///
/// # Errors
/// What `connect(2)` says, or `TimedOut`. A connection with itself is `ConnectionRefused`.
pub(crate) async fn dial(
    address: SocketAddr,
    timeout: Duration,
    ports: &Ports,
    metrics: &Metrics,
) -> io::Result<TcpStream> {
    match tokio::time::timeout(timeout, connect(address, ports, metrics)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn connect(address: SocketAddr, ports: &Ports, metrics: &Metrics) -> io::Result<TcpStream> {
    let mut tries = 0;
    let connected = loop {
        let now = Instant::now();
        let port = if tries < AGAIN_TRIES { ports.again(address, now) } else { None };
        let connected = match named_socket(address, port) {
            Ok(socket) => socket.connect(address).await,
            Err(error) => Err(error),
        };
        match connected {
            // Its connection lives on, or somebody else has it now: the next.
            Err(error) if port.is_some() && is_port_taken(&error) => tries += 1,
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                // Boxed: an idle connection's future need not have room for it.
                let named = Box::pin(connect_from_named_ports(address, metrics)).await;
                break named.unwrap_or(Err(error))?;
            }
            connected => break connected?,
        }
    };
    let local = connected.local_addr()?;
    if local == address {
        // Nobody listens there, and the kernel chose that very port: both ends are this one
        // (RFC 9293, 3.5). Not in `TIME_WAIT` either, so that the server can come back to it.
        net::reset_on_close(&connected);
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    ports.used(address, local.port(), Instant::now());
    Ok(connected)
}

/// Tries ports by name. None: there are none to try.
async fn connect_from_named_ports(
    address: SocketAddr,
    metrics: &Metrics,
) -> Option<io::Result<TcpStream>> {
    let (first, last) = port_range(&std::fs::read_to_string(PORT_RANGE).ok()?)?;
    let reserved = reserved_ports(&std::fs::read_to_string(RESERVED_PORTS).unwrap_or_default());
    let mut last_error = None;
    for _ in 0..PORT_TRIES {
        metrics.dial_port_retried();
        let port = random_port(first, last, &reserved)?;
        let tried = match named_socket(address, Some(port)) {
            Ok(socket) => socket.connect(address).await,
            Err(error) => Err(error),
        };
        match tried {
            // Somebody else's, or in use towards this very server: the next.
            Err(error) if is_port_taken(&error) => last_error = Some(Err(error)),
            tried => return Some(tried),
        }
    }
    last_error
}

/// A socket with this port, if one is named, that others may share the port with: a port that was
/// taken without this could be named by nobody.
fn named_socket(address: SocketAddr, port: Option<u16>) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    if let Some(port) = port {
        let mut own = net::any_port(address);
        own.set_port(port);
        socket.bind(own)?;
    }
    Ok(socket)
}

fn is_port_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

/// Reads the two numbers of `ip_local_port_range`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last && first > 0).then_some((first, last))
}

/// Reads the ports of `ip_local_reserved_ports`: `8080,40000-40010`.
fn reserved_ports(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).collect()
}

/// A port of the range at random, or the next behind it that is not reserved, if there is one.
fn random_port(first: u16, last: u16, reserved: &[RangeInclusive<u16>]) -> Option<u16> {
    let count = u32::from(last - first) + 1;
    let start = getrandom::u32().ok()? % count;
    let mut ports = (0..count).filter_map(|i| {
        let offset = u16::try_from((start + i) % count).ok()?;
        first.checked_add(offset)
    });
    ports.find(|port| !reserved.iter().any(|range| range.contains(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_read() {
        assert_eq!(port_range("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(port_range("5 5"), Some((5, 5)));
        for text in ["", "1", "9 8", "0 5", "a b", "1 65536"] {
            assert_eq!(port_range(text), None, "{text:?}");
        }
    }

    #[test]
    fn ports_are_of_the_range() {
        for _ in 0..100 {
            assert!((10..=12).contains(&random_port(10, 12, &[]).unwrap()));
            assert_eq!(random_port(10, 14, &reserved_ports("10,12-14,9\n")), Some(11));
        }
        assert_eq!(random_port(7, 7, &[]), Some(7));
        assert_eq!(random_port(7, 7, &reserved_ports("1-8")), None);
        assert!(random_port(1, u16::MAX, &reserved_ports("\n")).is_some());
    }

    #[tokio::test]
    async fn nobody_listens_and_nobody_answers() {
        let (metrics, ports) = (Metrics::new(), Ports::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let patience = Duration::from_secs(9);
        assert!(dial(at, patience, &ports, &metrics).await.is_ok());
        drop(listener);
        let error = dial(at, patience, &ports, &metrics).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(metrics.render().contains("weir_dial_port_retries_total 0"));
    }
}
