//! The listeners of a sidecar: for traffic, for the admin endpoint, and the Unix socket.

use std::fs::DirBuilder;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::io::Errno;
use tokio::net::TcpListener;
use tracing::{info, warn};
use weir_policy::op::Side;

use crate::admin::socket::Socket;
use crate::config::{Admin, ControlSocket, Forward, Intake, RedirectPorts};
use crate::intercept::Door;
use crate::net;
use crate::run::Error;

/// Every address, of either family.
const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
/// The loopback address of either family: where the redirect brings what the pod dials.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Binds what traffic comes in by. Needs a tokio runtime, as all of these do.
///
/// # Errors
/// What cannot be listened at; for the redirect, where neither family can be.
pub(crate) fn bind(intake: &Intake) -> Result<Vec<(TcpListener, Door)>, Error> {
    match intake {
        Intake::Forwards(forwards) => forwards.iter().map(bind_forward).collect(),
        Intake::Redirect(ports) => bind_redirect(*ports),
    }
}

fn bind_forward(forward: &Forward) -> Result<(TcpListener, Door), Error> {
    let listener = listen(forward.listen, "--forward")?;
    let at = local(&listener, forward.listen);
    info!(listen = %at, upstream = %forward.upstream, "forwarding");
    Ok((listener, Door::Forward(forward.upstream)))
}

fn bind_redirect(ports: RedirectPorts) -> Result<Vec<(TcpListener, Door)>, Error> {
    let inbound = listen_at_both(ANY, ports.inbound, "--inbound-port")?;
    let outbound = listen_at_both(LOOPBACK, ports.outbound, "--outbound-port")?;
    let has = |listeners: &[TcpListener], v4| {
        listeners.iter().filter_map(|l| l.local_addr().ok()).any(|at| at.is_ipv4() == v4)
    };
    for (name, v4) in [("IPv4", true), ("IPv6", false)] {
        if !has(&inbound, v4) || !has(&outbound, v4) {
            warn!(family = name, "this network namespace lacks it: nothing of it is taken");
        }
    }
    let mut doors = Vec::new();
    for (listeners, side) in [(inbound, Side::Inbound), (outbound, Side::Outbound)] {
        for listener in listeners {
            let at = local(&listener, SocketAddr::new(ANY[0], 0));
            let side_word = crate::report::metrics::side_word(side);
            info!(listen = %at, side = side_word, "taking what is redirected");
            doors.push((listener, Door::Redirect(side)));
        }
    }
    Ok(doors)
}

/// Binds the admin endpoint.
///
/// # Errors
/// What cannot be listened at.
pub(crate) fn bind_admin(admin: Admin) -> Result<Vec<TcpListener>, Error> {
    match admin {
        Admin::Off => Ok(Vec::new()),
        Admin::At(at) => Ok(vec![listen(at, "--admin")?]),
        Admin::Port(port) => listen_at_both(ANY, port, "--admin"),
    }
}

/// Makes the Unix socket. One that nobody asked for is gone without, where its place cannot be
/// made.
///
/// # Errors
/// The socket was asked for and cannot be made.
pub(crate) fn bind_socket(socket: Option<&ControlSocket>) -> Result<Option<Socket>, Error> {
    let Some(ControlSocket { path, asked }) = socket else {
        return Ok(None);
    };
    if *asked {
        return Socket::bind(path).map(Some).map_err(Error::Socket);
    }
    match make_directory(path).and_then(|()| Socket::bind(path)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => {
            warn!(
                %error,
                "there is no Unix socket: `weir mode` does not reach this sidecar (--socket names another place, `--socket off` none)"
            );
            Ok(None)
        }
    }
}

/// Makes the socket's directory, for Weir's own user and root alone, unless it is there.
fn make_directory(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make {}: {error}", directory.display()))
    })
}

/// Listens at the same port of both families; one that the system lacks is left out.
fn listen_at_both(
    addresses: [IpAddr; 2],
    port: u16,
    what: &'static str,
) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for address in addresses {
        match listen(SocketAddr::new(address, port), what) {
            Ok(listener) => listeners.push(listener),
            Err(Error::Listen { source, .. }) if is_family_missing(&source) => {
                missing.get_or_insert(Error::Listen {
                    what,
                    address: SocketAddr::new(address, port),
                    source,
                });
            }
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// The kernel does not know the family, or no interface has an address of it.
fn is_family_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn listen(address: SocketAddr, what: &'static str) -> Result<TcpListener, Error> {
    net::listen(address).and_then(net::register).map_err(|source| Error::Listen {
        what,
        address,
        source,
    })
}

fn local(listener: &TcpListener, otherwise: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(otherwise)
}
