//! The town of the transparent demo: pods on a bridge, each a network namespace with an
//! application's user in it, some guarded by Weir; and a server outside. Nothing of it is in this
//! machine's own network.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;

use super::attacks::Who;
use super::namespace::{Namespace, ip};
use super::origin::Origin;
use super::shop::Workload;
use crate::defaults::PROXY_UID;

/// The user that applications run as in the pods: anyone but root and Weir's.
const APPLICATION: u32 = 10001;

/// A pod, or what else is on the bridge.
pub(super) struct Pod {
    /// The namespace.
    pub(super) namespace: Namespace,
    /// The application in it.
    pub(super) application: Origin,
    /// Weir's user in it.
    weir: Origin,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Pod {
    fn new(v4: Ipv4Addr, v6: Ipv6Addr, user: u32) -> Result<Self, String> {
        let namespace = Namespace::new().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => NO_RIGHT.to_owned(),
            _ => format!("no network namespace can be made: {error}"),
        })?;
        let origin = |user| {
            Origin::inside(&namespace, user)
                .map_err(|error| format!("nothing can be done as user {user} in a pod: {error}"))
        };
        let (application, weir) = (origin(user)?, origin(PROXY_UID)?);
        Ok(Self { namespace, application, weir, v4, v6 })
    }

    /// Its address of a family.
    pub(super) fn address(&self, family: Family, port: u16) -> SocketAddr {
        let ip = match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        };
        SocketAddr::new(ip, port)
    }

    fn connect(&self, to: &Namespace, number: usize, ipv6: bool) -> Result<(), String> {
        let (here, bridge) = (self.namespace.path(), format!("pod{number}"));
        to.ip(&[
            format!("link add {bridge} type veth peer name eth0 netns {}", here.display()),
            format!("link set {bridge} master bridge up"),
        ])?;
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("address add {}/32 dev eth0", self.v4),
            "link set eth0 up".to_owned(),
            "route add default dev eth0".to_owned(),
        ];
        if ipv6 {
            // Nobody else has the address, and there is no time to ask.
            lines.push(format!("address add {}/128 dev eth0 nodad", self.v6));
            lines.push("route add ::/0 dev eth0".to_owned());
        }
        self.namespace.ip(&lines)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Everything that has an address.
pub(super) struct Town {
    /// The shop's pods, as [`Workload::ALL`] has them.
    services: [Pod; 4],
    /// Where the customers come from.
    pub(super) customers: Pod,
    /// A pod that has no business with the shop.
    pub(super) stranger: Pod,
    /// A server that is none of the shop's.
    pub(super) outside: Pod,
    /// Whether there is IPv6.
    pub(super) ipv6: bool,
    bridge: Namespace,
}

const NO_ROOT: &str = "--transparent makes network namespaces and sets the redirect's rules in \
    them, which only root may: run it as root, as in `sudo weir demo --transparent`. Plain `weir \
    demo` needs no root";
const NO_RIGHT: &str = "--transparent makes network namespaces, and this root may not: the \
    capability CAP_SYS_ADMIN is missing, as in most containers. Run it on a machine, or in a \
    container that has the capability (`docker run --privileged`)";
const NO_IP: &str = "--transparent needs the program `ip`, which is not on the PATH: install \
    iproute2, as in `apt-get install iproute2`";

impl Town {
    /// Builds it.
    ///
    /// # Errors
    /// In words: what is missing, and what to do.
    pub(super) fn build() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err(NO_ROOT.to_owned());
        }
        let ip = ip().arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if ip.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(NO_IP.to_owned());
        }
        let pod = |n: u8| {
            let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n));
            Pod::new(Ipv4Addr::new(10, 0, 0, n), v6, APPLICATION)
        };
        let outside = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
        let mut town = Self {
            services: [pod(1)?, pod(2)?, pod(3)?, pod(4)?],
            customers: pod(50)?,
            stranger: pod(66)?,
            // Root's, for its ports are.
            outside: Pod::new(Ipv4Addr::new(203, 0, 113, 9), outside, 0)?,
            ipv6: false,
            bridge: Namespace::new().map_err(|error| format!("no namespace: {error}"))?,
        };
        town.ipv6 = town.has_ipv6();
        town.connect()?;
        Ok(town)
    }

    /// Where an intruder makes its sockets.
    pub(super) fn origin(&self, who: Who) -> &Origin {
        match who {
            Who::Application(of) => &self.pod(of).application,
            Who::Escaped(of) => &self.pod(of).weir,
            Who::Stranger => &self.stranger.application,
        }
    }

    /// A service's pod.
    pub(super) fn pod(&self, of: Workload) -> &Pod {
        let [frontend, cart, store, stock] = &self.services;
        match of {
            Workload::Frontend => frontend,
            Workload::Cart => cart,
            Workload::Store => store,
            Workload::Stock => stock,
        }
    }

    /// Where a service is called: by IPv4, and the store by IPv6 where that is.
    pub(super) fn service(&self, of: Workload) -> SocketAddr {
        let family = match of {
            Workload::Store => self.families().last().copied().unwrap_or(Family::V4),
            _ => Family::V4,
        };
        self.pod(of).address(family, of.port())
    }

    /// The families that there are.
    pub(super) fn families(&self) -> &'static [Family] {
        if self.ipv6 { &[Family::V4, Family::V6] } else { &[Family::V4] }
    }

    /// The wildcard address on which a server is reached by all families that there are.
    pub(super) fn everywhere(&self, port: u16) -> SocketAddr {
        let ip: IpAddr = match self.ipv6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, port)
    }

    /// Whether a new namespace has IPv6: a kernel may be without, or told so by
    /// `net.ipv6.conf.default.disable_ipv6`.
    fn has_ipv6(&self) -> bool {
        let read = || fs::read("/proc/sys/net/ipv6/conf/default/disable_ipv6");
        self.bridge.within(read).is_ok_and(|disabled| disabled.starts_with(b"0"))
    }

    fn connect(&self) -> Result<(), String> {
        self.bridge
            .ip(&["link add bridge type bridge".to_owned(), "link set bridge up".to_owned()])?;
        let pods = self.services.iter().chain([&self.customers, &self.stranger, &self.outside]);
        for (number, pod) in pods.enumerate() {
            pod.connect(&self.bridge, number, self.ipv6)?;
        }
        Ok(())
    }
}
