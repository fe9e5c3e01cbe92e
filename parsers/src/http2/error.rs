//! The error codes that frames carry (RFC 9113 §7).

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ErrorCode {
    /// A graceful end.
    NoError = 0x0,
    /// The peer broke the protocol.
    ProtocolError = 0x1,
    /// A fault of one's own.
    InternalError = 0x2,
    /// The peer sent more than it was allowed.
    FlowControlError = 0x3,
    /// Settings were not acknowledged in time.
    SettingsTimeout = 0x4,
    /// A frame for a stream that is half-closed.
    StreamClosed = 0x5,
    /// A frame of a size that it cannot have.
    FrameSizeError = 0x6,
    /// Nothing was done with the stream.
    RefusedStream = 0x7,
    /// The stream is no longer needed.
    Cancel = 0x8,
    /// The state of field compression is lost.
    CompressionError = 0x9,
    /// The connection of a CONNECT was reset.
    ConnectError = 0xa,
    /// The peer makes excessive load.
    EnhanceYourCalm = 0xb,
    /// The transport is not secure enough.
    InadequateSecurity = 0xc,
    /// HTTP/1.1 is required.
    Http11Required = 0xd,
}
