//! The ports, the user and the places that the parts of Weir agree on where nobody says otherwise.

/// Where connections towards the pod are redirected to.
pub const INBOUND_PORT: u16 = 15906;
/// Where connections from the pod are redirected to.
pub const OUTBOUND_PORT: u16 = 15901;
/// Where `/metrics`, `/ready`, `/live` and `/probe` are served.
pub const ADMIN_PORT: u16 = 15902;
/// The user that Weir runs as beside a pod: its own connections are not redirected.
pub const PROXY_UID: u32 = 64102;
/// How this machine resolves names: see resolv.conf(5).
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the commands look for a sidecar's Unix socket.
pub const SOCKET: &str = "/run/weir/weir.sock";
