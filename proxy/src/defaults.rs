//! The ports, the user and the places that the parts of Weir agree on where nobody says otherwise.

use std::net::Ipv4Addr;

/// Where connections towards the pod are redirected to.
pub const INBOUND_PORT: u16 = 15906;
/// Where connections from the pod are redirected to.
pub const OUTBOUND_PORT: u16 = 15901;
/// The first and the last of the loopback addresses that IPv4 connections from the pod are spread
/// over. Each pair of addresses has source ports of its own, so that more connections than one
/// address has ports for can end within a minute (TIME_WAIT).
pub const OUTBOUND_ADDRESSES: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 64));
/// Where `/metrics`, `/ready`, `/live` and `/probe` are served.
pub const ADMIN_PORT: u16 = 15902;
/// The user that Weir runs as beside a pod: its own connections are not redirected.
pub const PROXY_UID: u32 = 64102;
/// How this machine resolves names: see resolv.conf(5).
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the commands look for a sidecar's Unix socket.
pub const SOCKET: &str = "/run/weir/weir.sock";
