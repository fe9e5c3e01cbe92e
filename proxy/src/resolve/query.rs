//! One question to the servers, by UDP and where that does not do by TCP (RFC 1035, RFC 7766).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use domain::base::iana::{Class, Rcode};
use domain::base::message_builder::OptBuilder;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::{A, Aaaa, Cname, Soa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::system::System;
use crate::net;

/// What a server may send in a datagram (RFC 9715 §3.1: what no path fragments).
const DATAGRAM: u16 = 1232;
/// For how long "no such thing" holds where the answer does not say.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// What the servers say of one name and one family of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The addresses, none where the name or its addresses do not exist.
    pub(super) addresses: Vec<IpAddr>,
    /// How long that holds, by the answer.
    pub(super) ttl: Duration,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words, for an operator.
    pub(super) why: String,
    /// A server said something, which is no answer: SERVFAIL, say.
    pub(super) is_said: bool,
}

/// Asks one server after the other until one answers, all of them as often as the system says.
/// An answer is addresses, or that there are none (NODATA, NXDOMAIN); SERVFAIL and its like are
/// none, the next server is asked. `first` is the place of the server that is asked first, and
/// then of the one that has answered.
///
/// # Errors
/// What the last server said, or why it said nothing.
pub(super) async fn ask(
    system: &System,
    name: &str,
    family: Family,
    first: &AtomicUsize,
) -> Result<Found, Failure> {
    let mut failure = Failure { why: String::new(), is_said: false };
    let servers = match &system.servers {
        Ok(servers) => servers,
        Err(why) => return Err(Failure { why: why.clone(), ..failure }),
    };
    let begin = first.load(Relaxed);
    let from_first = servers.iter().enumerate().cycle().skip(begin);
    for (place, server) in from_first.take(servers.len() * system.attempts) {
        let why = match timeout(system.timeout, ask_one(*server, system, name, family)).await {
            Ok(Ok(found)) => {
                first.store(place, Relaxed);
                return Ok(found);
            }
            Ok(Err(error)) => {
                failure.is_said |= error.kind() == io::ErrorKind::InvalidData;
                error.to_string()
            }
            Err(_) => format!("no answer within {:?}", system.timeout),
        };
        failure.why = format!("{server}: {why}");
    }
    Err(failure)
}

async fn ask_one(
    server: SocketAddr,
    system: &System,
    name: &str,
    family: Family,
) -> io::Result<Found> {
    let mut edns = true;
    loop {
        let question = question(name, family, edns).ok_or_else(|| broken("not a name"))?;
        let answer = exchange(server, system.tcp, &question).await?;
        // A server that does not know EDNS says so (RFC 6891 §7) and is asked without.
        if !edns || !matches!(answer.header().rcode(), Rcode::FORMERR | Rcode::NOTIMP) {
            return read(&answer, family);
        }
        edns = false;
    }
}

async fn exchange(
    server: SocketAddr,
    tcp: bool,
    question: &Message<Vec<u8>>,
) -> io::Result<Message<Vec<u8>>> {
    if !tcp {
        let answer = by_udp(server, question).await?;
        if !answer.header().tc() {
            return Ok(answer);
        }
    }
    by_tcp(server, question).await
}

/// The message that asks. None where the name cannot be one.
fn question(name: &str, family: Family, edns: bool) -> Option<Message<Vec<u8>>> {
    let name: Name<Vec<u8>> = name.parse().ok()?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(u16::from_be_bytes(id));
    message.header_mut().set_rd(true);
    let mut message = message.question();
    let kind = match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    };
    message.push((name, kind, Class::IN)).ok()?;
    let mut message = message.additional();
    if edns {
        let size = |opt: &mut OptBuilder<'_, _>| {
            opt.set_udp_payload_size(DATAGRAM);
            Ok(())
        };
        message.opt(size).ok()?;
    }
    Some(message.into_message())
}

/// Sends the question and waits for its answer; what is no answer to it is passed over. The
/// system picks the port that it is sent from, at random.
async fn by_udp(server: SocketAddr, question: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let socket = UdpSocket::bind(net::any_port(server)).await?;
    // Connected: the kernel drops what others send, and says where nobody listens.
    socket.connect(server).await?;
    socket.send(question.as_slice()).await?;
    let mut buffer = vec![0; DATAGRAM.into()];
    loop {
        let n = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_octets(buffer[..n].to_vec())
            && answer.is_answer(question)
        {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.as_slice().len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), question.as_slice()].concat();
    stream.write_all(&framed).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    let answer = Message::from_octets(answer).map_err(|_| broken("a broken answer"))?;
    if answer.is_answer(question) { Ok(answer) } else { Err(broken("an answer to something else")) }
}

/// Reads an answer: the addresses at the end of the chain of CNAMEs that begins with the name.
fn read(answer: &Message<Vec<u8>>, family: Family) -> io::Result<Found> {
    let header = answer.header();
    match header.rcode() {
        // Neither asked on nor in charge: such a server does not know that there is nothing.
        Rcode::NOERROR if !header.ra() && !header.aa() && answer.header_counts().ancount() == 0 => {
            return Err(broken("the server does not ask others for names that it does not know"));
        }
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        other => return Err(broken(&format!("the server says {other}"))),
    }
    records(answer, family).ok_or_else(|| broken("a broken answer"))
}

fn records(answer: &Message<Vec<u8>>, family: Family) -> Option<Found> {
    let name = answer.canonical_name()?;
    let section = answer.answer().ok()?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut ttl: Option<Duration> = None;
    let mut least = |of: Duration| ttl = Some(ttl.map_or(of, |ttl| ttl.min(of)));
    for link in section.limit_to_in::<Cname<_>>() {
        least(link.ok()?.ttl().into_duration());
    }
    match family {
        Family::V4 => {
            for record in section.limit_to_in::<A>().flatten().filter(|r| *r.owner() == name) {
                least(record.ttl().into_duration());
                addresses.push(record.data().addr().into());
            }
        }
        Family::V6 => {
            for record in section.limit_to_in::<Aaaa>().flatten().filter(|r| *r.owner() == name) {
                least(record.ttl().into_duration());
                addresses.push(IpAddr::from(record.data().addr()).to_canonical());
            }
        }
    }
    if addresses.is_empty() {
        // RFC 2308 §5.
        let soa = answer.authority().ok()?.limit_to_in::<Soa<_>>().flatten().next();
        ttl = soa.map(|soa| soa.ttl().min(soa.data().minimum()).into_duration());
    }
    Some(Found { addresses, ttl: ttl.unwrap_or(NEGATIVE_TTL) })
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use domain::base::Ttl;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        text.parse().unwrap()
    }

    /// An answer with an alias, two addresses of its end, and one of somebody else.
    fn sample() -> Message<Vec<u8>> {
        let question = question("a.test.", Family::V4, true).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(&question, Rcode::NOERROR).unwrap();
        let ttl = Ttl::from_secs;
        let at = |n| A::from_octets(10, 0, 0, n);
        answer.push((name("b.test."), ttl(60), at(1))).unwrap();
        answer.push((name("a.test."), ttl(40), Cname::new(name("b.test.")))).unwrap();
        answer.push((name("c.test."), ttl(1), at(3))).unwrap();
        answer.push((name("b.test."), ttl(50), at(2))).unwrap();
        answer.into_message()
    }

    #[test]
    fn addresses_of_other_names_are_passed_over() {
        let found = read(&sample(), Family::V4).unwrap();
        let addresses = [1, 2].map(|n| IpAddr::from([10, 0, 0, n])).to_vec();
        assert_eq!(found, Found { addresses, ttl: Duration::from_secs(40) });
        let none = read(&sample(), Family::V6).unwrap();
        assert_eq!(none, Found { addresses: Vec::new(), ttl: NEGATIVE_TTL });
    }

    proptest! {
        #[test]
        fn no_answer_is_too_broken(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = sample().into_octets();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(answer) = Message::from_octets(bytes) {
                let _ = (read(&answer, Family::V4), read(&answer, Family::V6));
            }
        }
    }
}
