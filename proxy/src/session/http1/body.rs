//! Bodies, of either leg: their pieces, and what the inspectors say of them.

use weir_parsers::http1::{self, Body, BodyPart};

use super::Cx;
use crate::inspect::{self, Part};

/// The next piece of a body.
pub(super) enum Piece {
    /// It has not come whole.
    Partial,
    /// There is none: the message is complete.
    End,
    /// So many bytes, framing included.
    Bytes {
        len: usize,
        /// Where among them an inspector's match is completed, and its name.
        found: Option<(usize, &'static str)>,
    },
}

/// Reads the next piece at the start of `data`, and shows its content to the inspectors.
pub(super) fn next(
    body: &mut Body,
    data: &[u8],
    part: Part,
    cx: &mut Cx<'_>,
) -> Result<Piece, http1::Reason> {
    Ok(match body.next(data, cx.limits.head_bytes)? {
        BodyPart::Partial => Piece::Partial,
        BodyPart::End => Piece::End,
        BodyPart::Framing(len) => Piece::Bytes { len, found: None },
        BodyPart::Data(len) | BodyPart::Trailers { len, .. } => {
            let found = inspect::data(cx.inspectors, part, &data[..len]).err();
            Piece::Bytes { len, found }
        }
    })
}
