//! HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112), read strictly.
//!
//! A message is read in three steps, the same on both legs: [`HeadScan`] finds where its head
//! ends, [`request`] or [`response`] reads the head, and [`Body`] says of the bytes behind it
//! what they are, until the message is complete. Nothing is copied, and nothing is allocated.
//!
//! Whatever two readers could take differently is an error with a [`Reason`]: where a message
//! ends, whom it is for, what it asks. The tolerance that the RFCs allow readers (bare LF, empty
//! lines before a request, equal Content-Length fields, whitespace here and there) is not given.

mod body;
mod chunk;
mod fields;
mod reason;
mod request;
mod response;
mod scan;
mod target;
#[cfg(test)]
mod tests;

pub use body::{Body, BodyLength, BodyPart, ResponseBody};
pub use fields::Fields;
pub use reason::Reason;
pub use request::{RequestHead, request, upgrade_tokens};
pub use response::{RequestKind, ResponseHead, response};
pub use scan::{HeadKind, HeadScan};
pub use target::Target;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}
