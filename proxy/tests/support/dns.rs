//! A DNS server on this machine whose answers a test sets, by UDP and TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, Rtype, Ttl};
use domain::rdata::{A, Aaaa, Cname, Soa};

type Domain = Name<Vec<u8>>;

/// What the server says of a name.
#[derive(Clone, Debug)]
pub enum Says {
    /// These addresses, of both families; the seconds for which they hold.
    Addresses(Vec<IpAddr>, u32),
    /// Another name, whose answer follows.
    Cname(String, u32),
    /// There is no such name; the seconds for which that holds.
    NoName(u32),
    /// An error.
    Fails,
    /// Nothing.
    Silent,
    /// That others know (RFC 1034, 4.3.1): no recursion, no authority, no answer.
    Refers,
    /// These addresses, and an error to whom uses EDNS.
    Old(Vec<IpAddr>),
    /// These addresses, behind forged answers that say others.
    Forged(Vec<IpAddr>),
}

/// One question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, without a final dot.
    pub name: String,
    /// `A` or `AAAA`.
    pub kind: String,
    /// By TCP.
    pub tcp: bool,
}

#[derive(Default)]
struct Zone {
    says: HashMap<String, Says>,
    asked: Vec<Asked>,
}

/// The server. Names that it was told nothing of do not exist.
pub struct Dns {
    zone: Arc<Mutex<Zone>>,
    /// Where it listens.
    pub at: SocketAddr,
    dir: tempfile::TempDir,
}

impl Dns {
    /// Listens at a loopback address.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    /// Listens at this address of the network namespace that it is called in.
    pub fn start_at(address: Ipv4Addr) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((address, 0)).unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let at = tcp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let of_udp = zone.clone();
        std::thread::spawn(move || serve_udp(&udp, &of_udp));
        let of_tcp = zone.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming().map_while(Result::ok) {
                let _ = serve_tcp(stream, &of_tcp);
            }
        });
        let dns = Self { zone, at, dir: tempfile::tempdir().unwrap() };
        // A sidecar in a pod is another user.
        let everyone = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dns.dir.path(), everyone).unwrap();
        dns.configure(&format!("nameserver [{address}]:{}\n", at.port()));
        dns
    }

    /// What it says of a name from now on.
    pub fn set(&self, name: &str, says: Says) {
        self.zone.lock().unwrap().says.insert(name.to_owned(), says);
    }

    /// The same for addresses.
    pub fn addresses(&self, name: &str, addresses: &[&str], ttl: u32) {
        let list = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.set(name, Says::Addresses(list, ttl));
    }

    /// The questions about a name so far.
    pub fn asked(&self, name: &str) -> Vec<Asked> {
        let zone = self.zone.lock().unwrap();
        zone.asked.iter().filter(|asked| asked.name == name).cloned().collect()
    }

    /// Writes another resolv.conf.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.dir.path().join("resolv.conf"), text).unwrap();
    }

    /// The file that leads here.
    pub fn resolv_conf(&self) -> String {
        self.dir.path().join("resolv.conf").display().to_string()
    }
}

fn serve_udp(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        let Ok(question) = Message::from_octets(buffer[..n].to_vec()) else { continue };
        let room = question.opt().map_or(512, |opt| opt.udp_payload_size().into());
        let Some(mut answer) = answer(&question, zone, false) else { continue };
        if let Some(Says::Forged(_)) = said(&question, zone) {
            for forged in forgeries(&question) {
                socket.send_to(&forged, from).unwrap();
            }
        }
        if answer.len() > room {
            answer = build(&question, Rcode::NOERROR, true, &[], None);
        }
        socket.send_to(&answer, from).unwrap();
    }
}

fn serve_tcp(mut stream: std::net::TcpStream, zone: &Mutex<Zone>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question)?;
    let question = Message::from_octets(question).map_err(std::io::Error::other)?;
    if let Some(answer) = answer(&question, zone, true) {
        let length = u16::try_from(answer.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat())?;
    }
    Ok(())
}

fn asked(question: &Message<Vec<u8>>) -> Option<(String, Rtype)> {
    let question = question.sole_question().ok()?;
    Some((question.qname().to_string().to_ascii_lowercase(), question.qtype()))
}

fn said(question: &Message<Vec<u8>>, zone: &Mutex<Zone>) -> Option<Says> {
    zone.lock().unwrap().says.get(&asked(question)?.0).cloned()
}

/// The answer to a question; none where the server is silent.
fn answer(question: &Message<Vec<u8>>, zone: &Mutex<Zone>, tcp: bool) -> Option<Vec<u8>> {
    let (mut name, kind) = asked(question)?;
    let mut zone = zone.lock().unwrap();
    zone.asked.push(Asked { name: name.clone(), kind: kind.to_string(), tcp });
    let mut chain = Vec::new();
    loop {
        match zone.says.get(&name).cloned().unwrap_or(Says::NoName(0)) {
            Says::Addresses(list, ttl) => {
                let list = of_kind(list, kind);
                let records: Vec<_> = chain
                    .into_iter()
                    .chain(list.into_iter().map(|at| (name.clone(), Data::Address(at), ttl)))
                    .collect();
                return Some(build(question, Rcode::NOERROR, false, &records, Some(ttl)));
            }
            Says::Old(_) if question.opt().is_some() => {
                return Some(build(question, Rcode::FORMERR, false, &[], None));
            }
            Says::Forged(list) | Says::Old(list) => {
                let list = of_kind(list, kind).into_iter();
                let records: Vec<_> =
                    list.map(|at| (name.clone(), Data::Address(at), 300)).collect();
                return Some(build(question, Rcode::NOERROR, false, &records, Some(300)));
            }
            Says::Cname(to, ttl) => {
                chain.push((name, Data::Name(to.clone()), ttl));
                name = to;
            }
            Says::NoName(ttl) => {
                return Some(build(question, Rcode::NXDOMAIN, false, &chain, Some(ttl)));
            }
            Says::Fails => return Some(build(question, Rcode::SERVFAIL, false, &[], None)),
            Says::Silent => return None,
            Says::Refers => {
                let mut answer = build(question, Rcode::NOERROR, false, &[], None);
                // The bit "recursion available" of the header.
                answer[3] &= 0x7f;
                return Some(answer);
            }
        }
    }
}

fn of_kind(list: Vec<IpAddr>, kind: Rtype) -> Vec<IpAddr> {
    list.into_iter().filter(|at| at.is_ipv4() == (kind == Rtype::A)).collect()
}

enum Data {
    Address(IpAddr),
    Name(String),
}

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

/// A message with these records, and an SOA with `negative` as its least TTL where they are none.
fn build(
    question: &Message<Vec<u8>>,
    code: Rcode,
    truncated: bool,
    records: &[(String, Data, u32)],
    negative: Option<u32>,
) -> Vec<u8> {
    let mut message = MessageBuilder::new_vec().start_answer(question, code).unwrap();
    message.header_mut().set_ra(true);
    message.header_mut().set_tc(truncated);
    for (name, data, ttl) in records {
        let (name, ttl) = (domain(name), Ttl::from_secs(*ttl));
        match data {
            Data::Address(IpAddr::V4(at)) => message.push((name, Class::IN, ttl, A::new(*at))),
            Data::Address(IpAddr::V6(at)) => message.push((name, Class::IN, ttl, Aaaa::new(*at))),
            Data::Name(to) => message.push((name, Class::IN, ttl, Cname::new(domain(to)))),
        }
        .unwrap();
    }
    let mut message = message.authority();
    if let (true, Some(ttl)) = (records.is_empty(), negative) {
        let ttl = Ttl::from_secs(ttl);
        let long = Ttl::from_secs(3600);
        let soa = Soa::new(domain("ns"), domain("admin"), 1.into(), long, long, long, ttl);
        message.push((domain("."), Class::IN, long, soa)).unwrap();
    }
    message.finish()
}

/// What somebody who did not see the question sends: another id, another name, and garbage.
fn forgeries(question: &Message<Vec<u8>>) -> Vec<Vec<u8>> {
    let (name, kind) = asked(question).unwrap();
    let forged: IpAddr = if kind == Rtype::A { "127.0.0.2" } else { "::2" }.parse().unwrap();
    let records = [(name, Data::Address(forged), 300)];
    let mut other_id = build(question, Rcode::NOERROR, false, &records, None);
    other_id[0] ^= 0x55;
    let mut other_name = build(question, Rcode::NOERROR, false, &records, None);
    // The first letter of the question's name, behind the header and the length of its label.
    other_name[13] ^= 1;
    vec![other_id, other_name, vec![0; 5], Vec::new()]
}
