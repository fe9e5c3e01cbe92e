//! The header of a frame (RFC 9113 §4.1), and what it alone shows to be wrong.

use super::Reason;

/// What a client's connection begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes the header of a frame has.
pub const FRAME_HEADER: usize = 9;

/// The flags of frames (RFC 9113 §6).
pub mod flag {
    /// DATA, HEADERS: the last of its sender on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the field block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS, PUSH_PROMISE: the payload is padded.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: the priority fields are there.
    pub const PRIORITY: u8 = 0x20;
}

/// The identifiers of settings (RFC 9113 §6.5.2).
pub mod setting {
    /// The largest size of the dynamic table of who decodes.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// Whether a server may push.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// How many streams the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// The window of a new stream.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// The largest payload of a frame.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// The largest list of fields that is taken.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// Whether CONNECT may have `:protocol` (RFC 8441 §3).
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// Whether binary metadata may come as it is (gRPC proposal G1,
    /// `GRPC_ALLOW_TRUE_BINARY_METADATA`).
    pub const TRUE_BINARY_METADATA: u16 = 0xfe03;
}

/// The type of a frame (RFC 9113 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Content.
    Data,
    /// The start of a field block.
    Headers,
    /// Deprecated.
    Priority,
    /// The end of a stream.
    RstStream,
    /// Settings of its sender, or their acknowledgement.
    Settings,
    /// The start of the field block of a promised request.
    PushPromise,
    /// A question whether the peer is there, or its answer.
    Ping,
    /// The end of the connection.
    GoAway,
    /// More room in a window.
    WindowUpdate,
    /// More of a field block.
    Continuation,
    /// Any other; to be ignored (RFC 9113 §5.5).
    Unknown(u8),
}

impl From<u8> for FrameKind {
    fn from(kind: u8) -> Self {
        match kind {
            0x0 => FrameKind::Data,
            0x1 => FrameKind::Headers,
            0x2 => FrameKind::Priority,
            0x3 => FrameKind::RstStream,
            0x4 => FrameKind::Settings,
            0x5 => FrameKind::PushPromise,
            0x6 => FrameKind::Ping,
            0x7 => FrameKind::GoAway,
            0x8 => FrameKind::WindowUpdate,
            0x9 => FrameKind::Continuation,
            other => FrameKind::Unknown(other),
        }
    }
}

impl From<FrameKind> for u8 {
    fn from(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Data => 0x0,
            FrameKind::Headers => 0x1,
            FrameKind::Priority => 0x2,
            FrameKind::RstStream => 0x3,
            FrameKind::Settings => 0x4,
            FrameKind::PushPromise => 0x5,
            FrameKind::Ping => 0x6,
            FrameKind::GoAway => 0x7,
            FrameKind::WindowUpdate => 0x8,
            FrameKind::Continuation => 0x9,
            FrameKind::Unknown(other) => other,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// How many bytes of payload follow.
    pub length: usize,
    /// The type.
    pub kind: FrameKind,
    /// The flags, those that mean nothing included.
    pub flags: u8,
    /// The stream, without the reserved bit.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads the header that begins `bytes`; none if it is not whole yet.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<FRAME_HEADER>()?;
        Some(Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind: kind.into(),
            flags,
            stream: stream_id([s0, s1, s2, s3]),
        })
    }

    /// Writes the nine bytes. A length has 24 bits, a stream 31; more are not written.
    pub fn write(&self, out: &mut Vec<u8>) {
        let [.., l0, l1, l2] = self.length.to_be_bytes();
        out.extend_from_slice(&[l0, l1, l2, self.kind.into(), self.flags]);
        out.extend_from_slice(&(self.stream & 0x7fff_ffff).to_be_bytes());
    }

    /// Whether a flag is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks what needs no state (RFC 9113 §4.2, §6): the length, and whether there is a stream.
    ///
    /// # Errors
    /// The first rule that is broken.
    #[inline]
    pub fn check(&self, max_frame: usize) -> Result<(), Reason> {
        use FrameKind::*;
        if self.length > max_frame {
            return Err(Reason::FrameTooLong);
        }
        match self.kind {
            Data | Headers | Priority | RstStream | PushPromise | Continuation
                if self.stream == 0 =>
            {
                return Err(Reason::StreamMissing);
            }
            Settings | Ping | GoAway if self.stream != 0 => return Err(Reason::StreamUnexpected),
            _ => {}
        }
        match (self.kind, self.length) {
            (Priority, 5) | (RstStream | WindowUpdate, 4) | (Ping, 8) | (GoAway, 8..) => Ok(()),
            (Priority, _) => Err(Reason::PriorityLength),
            (RstStream, _) => Err(Reason::RstStreamLength),
            (WindowUpdate, _) => Err(Reason::WindowUpdateLength),
            (Ping, _) => Err(Reason::PingLength),
            (GoAway, _) => Err(Reason::GoAwayLength),
            (Settings, 1..) if self.has(flag::ACK) => Err(Reason::SettingsAckLength),
            (Settings, length) if length % 6 != 0 => Err(Reason::SettingsLength),
            _ => Ok(()),
        }
    }
}

/// A stream's identifier, without the reserved bit.
pub(super) fn stream_id(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}
