//! Where connections come from: many addresses and ports in turn, so that the client's own side never runs out of them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::net::{TcpSocket, TcpStream};

/// Above what servers listen on.
const FIRST_PORT: u16 = 16_384;
const PORTS: usize = 48_000;

/// Addresses to connect from; with none the kernel chooses, as for any program.
#[derive(Debug, Default)]
pub struct Sources {
    addresses: Vec<Ipv4Addr>,
    next: AtomicUsize,
}

impl Sources {
    /// These addresses, each with 48,000 ports.
    pub fn new(addresses: Vec<Ipv4Addr>) -> Self {
        Self { addresses, next: AtomicUsize::new(0) }
    }

    /// The address and port that were used longest ago.
    fn take(&self) -> Option<SocketAddr> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let address = *self.addresses.get(turn.checked_rem(self.addresses.len())?)?;
        let port = u16::try_from(turn / self.addresses.len() % PORTS).ok()?;
        Some(SocketAddrV4::new(address, FIRST_PORT + port).into())
    }

    /// Connects to `to` from the next source.
    ///
    /// # Errors
    /// What socket(2), bind(2) and connect(2) say.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let Some(from) = self.take() else { return TcpStream::connect(to).await };
        let socket = TcpSocket::new_v4()?;
        // A source whose last connection is in TIME_WAIT may be used again.
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
        socket.connect(to).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_source_is_used_before_one_is_used_again() {
        let addresses = vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        let sources = Sources::new(addresses);
        let mut seen = HashSet::new();
        while seen.insert(sources.take().unwrap()) {}
        assert_eq!(seen.len(), 2 * PORTS);
        assert!(Sources::default().take().is_none());
    }
}
