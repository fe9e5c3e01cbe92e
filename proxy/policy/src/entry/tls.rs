//! TLS entries: `sni NAME`, `sni none`, `sni *`.

use std::fmt;

use super::{BadEntry, quoted};
use crate::host::HostPattern;

/// What a TLS entry covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SniPattern {
    /// A ClientHello without a server name.
    None,
    /// Any server name.
    Any,
    /// These names.
    Name(HostPattern),
}

const FORM: &str = "\"sni NAME\", \"sni *\" or \"sni none\"";

pub(super) fn read(text: &str) -> Result<SniPattern, BadEntry> {
    let name = text.strip_prefix("sni ").ok_or_else(|| BadEntry::new(0, quoted(text), FORM))?;
    Ok(match name {
        "none" => SniPattern::None,
        "*" => SniPattern::Any,
        name => SniPattern::Name(
            name.parse().map_err(|_| BadEntry::new("sni ".len(), quoted(name), FORM))?,
        ),
    })
}

impl fmt::Display for SniPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SniPattern::None => f.write_str("sni none"),
            SniPattern::Any => f.write_str("sni *"),
            SniPattern::Name(host) => write!(f, "sni {host}"),
        }
    }
}
