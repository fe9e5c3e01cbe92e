//! The listeners of a sidecar: for traffic, for the admin endpoint, and the Unix socket.

use std::fs::DirBuilder;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ipnet::Ipv4AddrRange;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tracing::{info, warn};
use weir_policy::op::Side;

use crate::admin::socket::Socket;
use crate::config::{Admin, ControlSocket, Forward, Intake, RedirectPorts};
use crate::defaults::OUTBOUND_ADDRESSES;
use crate::intercept::Door;
use crate::net;
use crate::run::Error;

/// Every address, of either family.
const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
/// The listeners of one family at a door.
type Bound = (Vec<TcpListener>, Door);

/// Binds what traffic comes in by. Needs a tokio runtime, as all of these do.
///
/// # Errors
/// What cannot be listened at; for the redirect, where neither family can be.
pub(crate) fn bind(intake: &Intake) -> Result<Vec<Bound>, Error> {
    match intake {
        Intake::Forwards(forwards) => forwards.iter().map(bind_forward).collect(),
        Intake::Redirect(ports) => bind_redirect(*ports),
    }
}

fn bind_forward(forward: &Forward) -> Result<Bound, Error> {
    let listener = listen(forward.listen, "--forward")?;
    let at = local(&listener, forward.listen);
    info!(listen = %at, upstream = %forward.upstream, "forwarding");
    Ok((vec![listener], Door::Forward(forward.upstream)))
}

fn bind_redirect(ports: RedirectPorts) -> Result<Vec<Bound>, Error> {
    let inbound = ANY.map(|address| vec![address]);
    let (first, last) = OUTBOUND_ADDRESSES;
    let outbound = [
        Ipv4AddrRange::new(first, last).map(IpAddr::V4).collect(),
        vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
    ];
    let inbound = listen_at_both(&inbound, ports.inbound, "--inbound-port")?;
    let outbound = listen_at_both(&outbound, ports.outbound, "--outbound-port")?;
    for (index, family) in ["IPv4", "IPv6"].into_iter().enumerate() {
        if inbound[index].is_empty() || outbound[index].is_empty() {
            warn!(family, "this network namespace lacks it: nothing of it is taken");
        }
    }
    let mut doors = Vec::new();
    for (families, side) in [(inbound, Side::Inbound), (outbound, Side::Outbound)] {
        for listeners in families {
            let Some(at) = place(&listeners) else { continue };
            let side_word = crate::report::metrics::side_word(side);
            info!(listen = at, side = side_word, "taking what is redirected");
            doors.push((listeners, Door::Redirect(side)));
        }
    }
    Ok(doors)
}

/// Where listeners of one port are, in one word; `None` where there are none.
fn place(listeners: &[TcpListener]) -> Option<String> {
    let first = listeners.first()?.local_addr().ok()?;
    let last = listeners.last()?.local_addr().ok()?;
    Some(if first == last { first.to_string() } else { format!("{}-{last}", first.ip()) })
}

/// Binds the admin endpoint.
///
/// # Errors
/// What cannot be listened at.
pub(crate) fn bind_admin(admin: Admin) -> Result<Vec<TcpListener>, Error> {
    match admin {
        Admin::Off => Ok(Vec::new()),
        Admin::At(at) => Ok(vec![listen(at, "--admin")?]),
        Admin::Port(port) => {
            let everywhere = ANY.map(|address| vec![address]);
            Ok(listen_at_both(&everywhere, port, "--admin")?.into_iter().flatten().collect())
        }
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
                "there is no Unix socket: `weir mode` and `weir tap` do not reach this sidecar (--socket names another place, `--socket off` none)"
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

/// Listens at the same port of all addresses of both families; a family that the system lacks is
/// left out, and its listeners are none.
fn listen_at_both(
    families: &[Vec<IpAddr>; 2],
    port: u16,
    what: &'static str,
) -> Result<[Vec<TcpListener>; 2], Error> {
    let mut bound = [Vec::new(), Vec::new()];
    let mut missing = None;
    for (addresses, listeners) in families.iter().zip(&mut bound) {
        for address in addresses {
            match listen(SocketAddr::new(*address, port), what) {
                Ok(listener) => listeners.push(listener),
                // A family of which one address could be had is there.
                Err(error) if listeners.is_empty() && is_family_missing(&error) => {
                    missing.get_or_insert(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    match missing {
        Some(error) if bound.iter().all(Vec::is_empty) => Err(error),
        _ => Ok(bound),
    }
}

/// The kernel does not know the family, or no interface has an address of it.
fn is_family_missing(error: &Error) -> bool {
    let Error::Listen { source, .. } = error else { return false };
    matches!(Errno::from_io_error(source), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
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
