//! What every version of HTTP has in common (RFC 9110).

pub(crate) mod chars;
pub(crate) mod fields;
pub(crate) mod uri;
