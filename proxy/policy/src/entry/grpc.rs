//! gRPC entries: `package.Service/Method`, `package.Service/*`.

use std::fmt;

use super::{BadEntry, quoted};

/// As long as a service's or method's name may be in an entry.
const MOST: usize = 256;

/// What a gRPC entry covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcPattern {
    /// With its package, if it has one.
    pub service: Box<str>,
    /// None: any method.
    pub method: Option<Box<str>>,
}

const FORM: &str = "package.Service/Method or package.Service/*, such as \"shop.Cart/AddItem\"";
const NAME: &str = "letters, digits, \"_\", \".\" and \"-\" alone";

pub(super) fn read(text: &str) -> Result<GrpcPattern, BadEntry> {
    if text.starts_with('/') {
        let expected = format!("{:?} (without the first slash)", text.trim_start_matches('/'));
        return Err(BadEntry::new(0, quoted(text), expected));
    }
    let (service, method) =
        text.split_once('/').ok_or_else(|| BadEntry::new(0, quoted(text), FORM))?;
    let at = service.len() + 1;
    if service == "*" {
        let expected = "a service (a rule without protocol admits all of them)";
        return Err(BadEntry::new(0, "*", expected));
    }
    name(service, 0)?;
    let method = match method {
        "*" => None,
        method => Some(name(method, at)?),
    };
    Ok(GrpcPattern { service: service.into(), method })
}

/// Checks a name that begins at `at`.
fn name(text: &str, at: usize) -> Result<Box<str>, BadEntry> {
    if text.is_empty() {
        return Err(BadEntry::new(at, "nothing", FORM));
    }
    if is_dots(text.as_bytes()) {
        return Err(BadEntry::new(at, quoted(text), "a name"));
    }
    let plain = |c: char| c.is_ascii() && is_plain(&(c as u8));
    if let Some(odd) = text.find(|c| !plain(c)) {
        return Err(BadEntry::new(at + odd, quoted(&text[odd..]), NAME));
    }
    if text.len() > MOST {
        return Err(BadEntry::new(at, quoted(text), format!("at most {MOST} characters")));
    }
    Ok(text.into())
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(byte)
}

/// A path would lead elsewhere by it.
fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// Whether an entry can hold this as the name of a service or method.
pub fn is_name(name: &[u8]) -> bool {
    (1..=MOST).contains(&name.len()) && name.iter().all(is_plain) && !is_dots(name)
}

impl GrpcPattern {
    /// Whether it covers the call.
    pub fn matches(&self, service: &[u8], method: &[u8]) -> bool {
        self.service.as_bytes() == service
            && match &self.method {
                // What no entry could name is no method.
                None => is_name(method),
                Some(name) => name.as_bytes() == method,
            }
    }
}

impl fmt::Display for GrpcPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.method.as_deref().unwrap_or("*"))
    }
}
