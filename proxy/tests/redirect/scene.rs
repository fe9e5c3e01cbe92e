//! What the tests set up and ask.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::Duration;

use ipnet::Ipv4AddrRange;
use rustix::process::Uid;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use weir::defaults::{INBOUND_PORT, OUTBOUND_ADDRESSES, OUTBOUND_PORT};

use crate::support::PATIENCE;
use crate::support::netns::{Namespace, Pod};

/// Where the applications of these tests listen.
pub(crate) const APPLICATION: u16 = 8080;

/// How long a packet that is dropped is waited for.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

/// Listens where Weir does. Whoever comes is told which side it is, and its original destination.
pub(crate) fn stand_in_for_weir(pod: &Pod) {
    let inbound = vec![
        (Ipv4Addr::UNSPECIFIED, INBOUND_PORT).into(),
        (Ipv6Addr::UNSPECIFIED, INBOUND_PORT).into(),
    ];
    let (first, last) = OUTBOUND_ADDRESSES;
    let mut outbound: Vec<SocketAddr> =
        Ipv4AddrRange::new(first, last).map(|address| (address, OUTBOUND_PORT).into()).collect();
    outbound.push((Ipv6Addr::LOCALHOST, OUTBOUND_PORT).into());
    for (side, addresses) in [("inbound", inbound), ("outbound", outbound)] {
        for at in addresses {
            serve(pod, at, move |stream| format!("{side} {}", original(stream)));
        }
    }
}

/// Listens as an application, at every address and these ports.
pub(crate) fn application(pod: &Pod, ports: &[u16]) {
    for port in ports {
        for at in [(Ipv4Addr::UNSPECIFIED, *port).into(), (Ipv6Addr::UNSPECIFIED, *port).into()] {
            serve(pod, at, |_| "application".to_owned());
        }
    }
}

/// The destination before the redirect, as Weir asks for it.
fn original(stream: &TcpStream) -> String {
    let socket = SockRef::from(stream);
    let found = match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    found.map_or_else(|error| error.to_string(), |at| at.as_socket().unwrap().to_string())
}

fn serve(pod: &Pod, at: SocketAddr, answer: impl Fn(&TcpStream) -> String + Send + Sync + 'static) {
    let listener = pod.enter(|| listen(at)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let text = answer(&stream);
            let _ = stream.write_all(text.as_bytes());
        }
    });
}

/// Listens at an address of its own family alone.
fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(64)?;
    Ok(socket.into())
}

/// Does `work` in the namespace as this user.
pub(crate) fn as_user<T: Send>(
    namespace: &Namespace,
    uid: u32,
    work: impl FnOnce() -> T + Send,
) -> T {
    namespace.enter(|| {
        rustix::thread::set_thread_uid(Uid::from_raw(uid)).unwrap();
        work()
    })
}

/// Connects, and reads who answers: `inbound` or `outbound` with the original destination,
/// `application`, or the error.
pub(crate) fn ask(to: SocketAddr) -> String {
    ask_within(to, PATIENCE)
}

/// The same, where no answer is expected and so not waited for long.
pub(crate) fn ask_within(to: SocketAddr, patience: Duration) -> String {
    let said = TcpStream::connect_timeout(&to, patience).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    said.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

/// What a command told: exit status, standard output, standard error.
pub(crate) fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// How many packets the rule with this comment has counted.
pub(crate) fn counted(pod: &Pod, chain: &str, comment: &str) -> u64 {
    let list = pod.run("nft", &["list", "chain", "inet", "weir", chain]);
    let rule = list.lines().find(|line| line.contains(comment)).expect(comment);
    rule.split("counter packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}
