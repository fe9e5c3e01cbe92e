//! What some fields are and say, in every version of HTTP.

/// The elements of a comma-separated list, empty ones left out (RFC 9110 §5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What is wrong with a Content-Length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadLength {
    Invalid,
    Overflow,
}

/// Content-Length's value (RFC 9110 §8.6). Servers that count in signed 64 bits must agree.
pub(crate) fn length(value: &[u8]) -> Result<u64, BadLength> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadLength::Invalid);
    }
    if value.len() > 19 {
        return Err(BadLength::Overflow);
    }
    // 19 digits fit in 64 bits.
    let length = value.iter().fold(0, |n: u64, digit| n * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 { Err(BadLength::Overflow) } else { Ok(length) }
}

/// Gateways that turn fields into variables (CGI, WSGI) take `_` for `-`.
pub(crate) fn same_but_for_underscores(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(&a, &b)| a.eq_ignore_ascii_case(&b) || a == b'_' && b == b'-')
}

/// Whether a field overrides the request's method or URL for some frameworks or gateways.
pub(crate) fn is_override(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-original-url",
        b"x-original-uri",
        b"x-rewrite-url",
        b"x-override-url",
    ];
    matches!(name, [b'x' | b'X', b'-' | b'_', ..])
        && NAMES.iter().any(|known| same_but_for_underscores(name, known))
}

/// Whether a field must not come as a trailer (RFC 9110 §6.5.1): framing, routing, authentication,
/// and what steers the request or the content's handling.
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 31] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"www-authenticate",
    ];
    NAMES.iter().any(|known| same_but_for_underscores(name, known))
        || is_override(name)
        || name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-")
}
