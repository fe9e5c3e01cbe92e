//! The kernel's end of nf_tables: requests, batches and answers (netlink(7), nfnetlink).

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::Error;
use super::attributes::Writer;
use super::table::Family;
use crate::capability;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// In an answer: the rules changed while they were listed.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

/// The length of a message's header, and of the nfnetlink one behind it.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// What an error that concerns no single change is about.
pub(super) const WHOLE: &str = "the whole request";
/// How often a list is asked for anew that changed while it was read.
const TRIES: usize = 10;
/// The kernel makes its answers no longer than this where the reader has as much room.
const ROOM: usize = 64 << 10;
/// Room for a batch of some ten thousand rules; the kernel takes it in one piece.
const BATCH_ROOM: usize = 4 << 20;

/// A kind of message of nf_tables (`enum nf_tables_msg_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    GetChain = 4,
    NewRule = 6,
    GetRule = 7,
}

impl Kind {
    const fn number(self) -> u16 {
        NFNL_SUBSYS_NFTABLES << 8 | self as u16
    }

    const fn flags(self) -> u16 {
        match self {
            Self::NewTable | Self::NewChain => NLM_F_CREATE,
            Self::NewRule => NLM_F_CREATE | NLM_F_APPEND,
            Self::GetTable | Self::GetChain | Self::GetRule => NLM_F_DUMP,
            Self::DelTable => 0,
        }
    }
}

/// Something that the kernel has: a table, a chain or a rule.
#[derive(Debug)]
pub(super) struct Listed {
    /// The kernel's number of its family.
    pub(super) family: u8,
    /// Its attributes.
    pub(super) attributes: Vec<u8>,
}

/// An open way to the kernel, with the right to use it.
#[derive(Debug)]
pub(super) struct Kernel(OwnedFd);

/// Changes that are made all or not at all.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// What each message is about, by its number: 0 is the batch itself.
    what: Vec<String>,
}

impl Batch {
    /// A batch without a change.
    pub(super) fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), what: Vec::new() };
        batch.mark(NFNL_MSG_BATCH_BEGIN);
        batch
    }

    /// A change, and what it is about: a noun that an error can name.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        family: Family,
        what: impl Into<String>,
        body: impl FnOnce(&mut Writer<'_>),
    ) {
        let number = self.number(what);
        // Errors are answered unasked; success is where it is asked for, once for them all.
        let ack = if number == 1 { NLM_F_ACK } else { 0 };
        let flags = NLM_F_REQUEST | kind.flags() | ack;
        message(&mut self.bytes, (kind.number(), flags, number), (family.number(), 0), body);
    }

    /// The beginning or the end.
    fn mark(&mut self, kind: u16) {
        let number = self.number(WHOLE);
        let subsystem = (0, NFNL_SUBSYS_NFTABLES);
        message(&mut self.bytes, (kind, NLM_F_REQUEST, number), subsystem, |_| {});
    }

    fn number(&mut self, what: impl Into<String>) -> u32 {
        self.what.push(what.into());
        u32::try_from(self.what.len() - 1).unwrap_or(u32::MAX)
    }
}

/// One message: its type, flags and number; its family and resource; its attributes.
fn message(
    out: &mut Vec<u8>,
    (kind, flags, number): (u16, u16, u32),
    (family, resource): (u8, u16),
    body: impl FnOnce(&mut Writer<'_>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&number.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    body(&mut Writer(out));
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_ne_bytes());
}

impl Kernel {
    /// Opens the way. Raises NET_ADMIN where the program has it as permitted only.
    pub(super) fn open() -> Result<Self, Error> {
        // Without the capability the kernel is asked all the same, and says no.
        let _ = capability::raise_net_admin();
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            flags,
            Some(netlink::NETFILTER),
        )
        .map_err(|error| match error {
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => Error::NoNfTables,
            other => Error::Netlink(other.into()),
        })?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(netlink_failed)?;
        // What does not fit by default needs this; where it is refused the default has to do.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, BATCH_ROOM);
        Ok(Self(socket))
    }

    /// Makes the changes, or none of them.
    pub(super) fn commit(&self, mut batch: Batch) -> Result<(), Error> {
        batch.mark(NFNL_MSG_BATCH_END);
        self.send(&batch.bytes)?;
        let mut acknowledged = false;
        // The kernel has done it all, and answered, when it has taken the batch.
        while let Some(answers) = self.receive(RecvFlags::DONTWAIT)? {
            for answer in Answers(&answers) {
                match answer.error() {
                    Some(0) => acknowledged = true,
                    Some(errno) => return Err(batch.refused(answer.number, errno)),
                    None => {}
                }
            }
        }
        let silent = || Error::Netlink(io::Error::other("no answer to the change"));
        acknowledged.then_some(()).ok_or_else(silent)
    }

    /// Lists everything of a kind, in all families.
    pub(super) fn list(&self, kind: Kind) -> Result<Vec<Listed>, Error> {
        for _ in 0..TRIES {
            if let Some(list) = self.try_list(kind)? {
                return Ok(list);
            }
        }
        Err(Error::Netlink(io::Error::other("the rules change faster than they can be listed")))
    }

    /// Lists; `None` if something changed meanwhile.
    fn try_list(&self, kind: Kind) -> Result<Option<Vec<Listed>>, Error> {
        let mut request = Vec::new();
        let head = (kind.number(), NLM_F_REQUEST | kind.flags(), 0);
        message(&mut request, head, (0, 0), |_| {});
        self.send(&request)?;
        let (mut list, mut whole) = (Vec::new(), true);
        loop {
            let answers = self.receive(RecvFlags::empty())?.unwrap_or_default();
            for answer in Answers(&answers) {
                whole &= answer.flags & NLM_F_DUMP_INTR == 0;
                match (answer.kind, answer.error()) {
                    (_, Some(errno @ 1..)) => return Err(Error::of(WHOLE, errno)),
                    (NLMSG_DONE, _) => return Ok(whole.then_some(list)),
                    _ => list.extend(answer.listed()),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.0, bytes, SendFlags::empty(), &kernel).map_err(netlink_failed)?;
        Ok(())
    }

    /// The next answers in one piece; `None` if there are none, where that is not waited for.
    fn receive(&self, flags: RecvFlags) -> Result<Option<Vec<u8>>, Error> {
        let mut room = vec![0; ROOM];
        loop {
            match rustix::net::recv(&self.0, &mut room[..], flags) {
                Ok((_, len)) => {
                    room.truncate(len);
                    return Ok(Some(room));
                }
                Err(Errno::AGAIN) => return Ok(None),
                // Answers were lost, of which there were more than are of use; the rest is there.
                Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(error) => return Err(netlink_failed(error)),
            }
        }
    }
}

impl Batch {
    fn refused(&self, number: u32, errno: i32) -> Error {
        let what = usize::try_from(number).ok().and_then(|number| self.what.get(number));
        Error::of(what.map_or("a change", String::as_str), errno)
    }
}

fn netlink_failed(error: Errno) -> Error {
    Error::Netlink(error.into())
}

/// The messages of one piece.
struct Answers<'a>(&'a [u8]);

/// A message from the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    number: u32,
    body: &'a [u8],
}

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let [a, b, c, d, kind @ .., e, f] = self.0.first_chunk::<8>()?;
        let len = usize::try_from(u32::from_ne_bytes([*a, *b, *c, *d])).ok()?;
        let number = u32::from_ne_bytes(self.0.get(8..12)?.try_into().ok()?);
        let answer = Answer {
            kind: u16::from_ne_bytes(*kind),
            flags: u16::from_ne_bytes([*e, *f]),
            number,
            body: self.0.get(HEADER..len)?,
        };
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    }
}

impl Answer<'_> {
    /// The error that this message tells, as errno(3); 0 is success, `None` no such message.
    fn error(&self) -> Option<i32> {
        let told = matches!(self.kind, NLMSG_ERROR | NLMSG_DONE);
        let first = self.body.first_chunk::<4>();
        told.then(|| first.map_or(0, |bytes| -i32::from_ne_bytes(*bytes)))
    }

    fn listed(&self) -> Option<Listed> {
        let (family, attributes) = (*self.body.first()?, self.body.get(FAMILY_HEADER..)?.to_vec());
        (self.kind >> 8 == NFNL_SUBSYS_NFTABLES).then_some(Listed { family, attributes })
    }
}
