//! What an intruder tries on the network itself, where the shop is in pods: to get past a
//! sidecar, around it, or at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::attacks::{Attack, Target, Way, Who, trace};
use super::calls;
use super::shop::resp::command;
use super::shop::stock::RESET;
use super::shop::{Outside, Workload};
use super::stage::Stage;
use super::town::{Family, Town};
use crate::defaults::{INBOUND_PORT, OUTBOUND_PORT};

use Target::{Service, Sidecar};
use Who::{Application, Escaped, Stranger};
use Workload::{Cart, Frontend, Stock, Store};

/// The list, as it grows.
struct Tries<'a> {
    list: &'a mut Vec<Attack>,
    run: &'a str,
}

/// Adds the tries to the attacks, if there are pods.
pub(super) fn add(list: &mut Vec<Attack>, stage: &Stage, run: &str) {
    let Some(town) = stage.town() else { return };
    // Through the intruder's own sidecar they would not come as far as the service's.
    for attack in &mut *list {
        if let Application(of) = attack.who {
            attack.who = Escaped(of);
        }
    }
    let mut tries = Tries { list, run };
    tries.operations(town);
    for &family in town.families() {
        tries.connections(town, family);
        tries.datagrams(town, family);
        tries.own_ports(town, family);
    }
    tries.own_socket(stage);
}

impl Tries<'_> {
    /// One more; `write` is given its trace and answers what is sent.
    fn add(
        &mut self,
        (who, target, way): (Who, Target, Way),
        guard: Option<Workload>,
        (kind, words): (&'static str, String),
        write: impl FnOnce(&str) -> Vec<u8>,
    ) {
        let trace = trace(self.list, self.run);
        let bytes = write(&trace);
        self.list.push(Attack { who, target, way, guard, kind, words, bytes, trace, allowed: 0 });
    }

    /// Operations that the intruder's own sidecar has not learned either.
    fn operations(&mut self, town: &Town) {
        let (cart, store) = (town.service(Cart), town.service(Store));
        self.add(
            (Application(Frontend), Service(Cart), Way::Tcp(cart)),
            Some(Frontend),
            ("by its own sidecar", "DELETE /carts/1 from the front end".to_owned()),
            |trace| {
                format!("DELETE /carts/1?t={trace} HTTP/1.1\r\nHost: cart\r\n\r\n").into_bytes()
            },
        );
        self.add(
            (Application(Cart), Service(Store), Way::Tcp(store)),
            Some(Cart),
            ("by its own sidecar", "CONFIG SET dir from the cart service".to_owned()),
            |trace| command(&["CONFIG", "SET", "dir", &format!("/tmp/{trace}")]),
        );
        self.add(
            (Application(Frontend), Service(Stock), Way::Tcp(town.service(Stock))),
            Some(Frontend),
            ("by its own sidecar", format!("{RESET} from the front end")),
            calls::reset,
        );
    }

    /// Connections that no policy allows, from either end.
    fn connections(&mut self, town: &Town, family: Family) {
        let store = town.pod(Store).address(family, Store.port());
        let steal = |trace: &str| command(&["HGETALL", &format!("cart:{trace}")]);
        self.add(
            (Stranger, Service(Store), Way::Tcp(store)),
            Some(Store),
            ("from a pod that may not", format!("HGETALL to the store at {store}")),
            steal,
        );
        let stock = town.pod(Stock).address(family, Stock.port());
        self.add(
            (Stranger, Service(Stock), Way::Tcp(stock)),
            Some(Stock),
            ("from a pod that may not", format!("{RESET} to the stock at {stock}")),
            calls::reset,
        );
        self.add(
            (Application(Frontend), Service(Store), Way::Tcp(store)),
            Some(Frontend),
            ("from the front end, past the cart service", format!("HGETALL to {store}")),
            steal,
        );
        let outside = town.outside.address(family, Outside::WEB);
        self.add(
            (Application(Cart), Target::Outside, Way::Tcp(outside)),
            Some(Cart),
            ("from the cart service, a dial outside", format!("POST to {outside}")),
            |trace| {
                let head = "POST / HTTP/1.1\r\nHost: outside\r\nContent-Length:";
                format!("{head} {}\r\n\r\n{trace}", trace.len()).into_bytes()
            },
        );
    }

    /// What is no TCP.
    fn datagrams(&mut self, town: &Town, family: Family) {
        for (port, what) in [(Outside::DNS, "as if a question of DNS"), (Outside::WEB, "as QUIC")] {
            let to = town.outside.address(family, port);
            self.add(
                (Application(Cart), Target::Outside, Way::Udp(to)),
                None,
                ("from the cart service, UDP", format!("a datagram to {to}, {what}")),
                |trace| trace.as_bytes().to_vec(),
            );
        }
    }

    /// Weir's own ports: a way around the redirect, or to Weir's user's rights.
    fn own_ports(&mut self, town: &Town, family: Family) {
        let loopback: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let ask = |trace: &str| {
            format!("GET /carts/1?t={trace} HTTP/1.1\r\nHost: cart\r\n\r\n").into_bytes()
        };
        for port in [INBOUND_PORT, OUTBOUND_PORT] {
            let at = town.pod(Cart).address(family, port);
            self.add(
                (Stranger, Service(Cart), Way::Tcp(at)),
                Some(Cart),
                ("Weir's own port, from another pod", format!("GET /carts/1 to {at}")),
                ask,
            );
            let at = SocketAddr::new(loopback, port);
            self.add(
                (Application(Frontend), Service(Frontend), Way::Tcp(at)),
                Some(Frontend),
                ("Weir's own port, from its own pod", format!("GET /carts/1 to {at}")),
                ask,
            );
        }
    }

    /// The socket by which Weir is told its mode.
    fn own_socket(&mut self, stage: &Stage) {
        let Some(path) = stage.sidecar(Frontend).map(|sidecar| sidecar.near.clone()) else {
            return;
        };
        let words = "PUT /mode learn on its socket".to_owned();
        self.add(
            (Application(Frontend), Sidecar(Frontend), Way::Unix(path)),
            None,
            ("Weir itself, from its own pod", words),
            |_| {
                let body = r#"{"mode":"learn"}"#;
                let head =
                    "PUT /mode HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nContent-Length";
                format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
            },
        );
    }
}
