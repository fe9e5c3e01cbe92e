//! HTTP/2: frames (RFC 9113), field blocks (RFC 7541), and the heads in them, read strictly.
//!
//! A frame is read in two steps: [`FrameHeader::read`] and [`FrameHeader::check`] need its nine
//! bytes alone, and [`headers_fragment`], [`data_layout`] and their like say how its payload
//! divides. [`hpack::Decoder`] makes fields of a field block; [`request`], [`response`] and
//! [`trailers`] read them. The state of streams, and who may send what when, is the caller's.
//!
//! What two readers could take differently is an error with a [`Reason`], by the same rules as in
//! HTTP/1 where they are the same.

mod error;
mod frame;
mod head;
pub mod hpack;
mod known;
mod payload;
mod reason;
#[cfg(test)]
mod tests;

pub use error::ErrorCode;
pub use frame::{FRAME_HEADER, FrameHeader, FrameKind, PREFACE, flag, setting};
pub use head::{
    RequestHead, ResponseHead, Trailers, request, response, response_trailers, trailers,
};
pub use known::Metadata;
pub use payload::{
    DataLayout, check_setting, data_layout, headers_fragment, push_promise_fragment, settings,
    window_increment,
};
pub use reason::Reason;
