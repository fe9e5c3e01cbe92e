//! TCP packets as an attacker makes them: one at a time, in any order.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::support::netns::Pod;

pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// The two ends of a connection that no kernel knows of at its near end.
pub(crate) struct Raw {
    socket: Socket,
    from: SocketAddr,
    to: SocketAddr,
}

impl Raw {
    /// From a port of this pod, whose kernel is kept from saying that it knows nothing of it.
    pub(crate) fn new(pod: &Pod, port: u16, to: SocketAddr) -> Self {
        let table =
            "add table inet quiet\ndelete table inet quiet\ntable inet quiet { chain output {
            type filter hook output priority 0; tcp flags rst drop; }; }\n";
        pod.feed("nft", &["-f", "-"], table);
        let from = if to.is_ipv4() { pod.at(port) } else { pod.at6(port) };
        let make = || Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP));
        Self { socket: pod.enter(make).unwrap(), from, to }
    }

    /// Sends a packet without options and data.
    pub(crate) fn send(&self, flags: u8, sequence: u32, acknowledged: u32) {
        self.send_with(flags, sequence, acknowledged, &[]);
    }

    /// Sends a packet with these options, whose length is a multiple of four (RFC 9293, 3.1).
    pub(crate) fn send_with(&self, flags: u8, sequence: u32, acknowledged: u32, options: &[u8]) {
        let mut packet = Vec::new();
        packet.extend_from_slice(&self.from.port().to_be_bytes());
        packet.extend_from_slice(&self.to.port().to_be_bytes());
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&acknowledged.to_be_bytes());
        let words = u8::try_from(5 + options.len() / 4).unwrap();
        packet.extend_from_slice(&[words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend_from_slice(options);
        let sum = self.checksum(&packet);
        packet[16..18].copy_from_slice(&sum.to_be_bytes());
        // A raw socket of IPv6 takes the port for a protocol.
        let to = SockAddr::from(SocketAddr::new(self.to.ip(), 0));
        self.socket.send_to(&packet, &to).unwrap();
    }

    /// The flags of the next packet of this connection; nothing if none comes in this time.
    pub(crate) fn flags(&mut self, patience: Duration) -> Option<u8> {
        let end = Instant::now() + patience;
        let mut room = [0; 2048];
        while Instant::now() < end {
            self.socket.set_read_timeout(Some(patience)).unwrap();
            let len = self.socket.read(&mut room).ok()?;
            // IPv4 gives its header too.
            let start = if self.to.is_ipv4() { usize::from(room[0] & 15) * 4 } else { 0 };
            let packet = &room[start..len];
            let ports = [self.to.port().to_be_bytes(), self.from.port().to_be_bytes()].concat();
            if packet.len() >= 20 && packet[..4] == ports {
                return Some(packet[13]);
            }
        }
        None
    }

    /// The checksum over addresses, protocol, length and packet (RFC 9293, 3.1; RFC 8200, 8.1).
    fn checksum(&self, packet: &[u8]) -> u16 {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let len = u16::try_from(packet.len()).unwrap().to_be_bytes();
        let all =
            [&octets(self.from.ip())[..], &octets(self.to.ip()), &[0, 6], &len, packet].concat();
        let words = all.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let mut sum: u32 = words.sum();
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }
}
