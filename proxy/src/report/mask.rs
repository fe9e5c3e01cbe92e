//! Operations as the log shows them: shapes, and details with their values masked.
//!
//! A shape is written as an entry of a policy would be, so that it can become one.

use weir_policy::class::classify;
use weir_policy::entry::grpc::is_name;
use weir_policy::op::{GrpcOp, HttpOp, KeySource, Keys, RedisOp, Script};
use weir_policy::path::normalise;

use crate::config::LogDetail;
use crate::learn::Known;

/// How many keys a shape is made of. A command with more has a shape that ends in `…`.
const KEYS: usize = 256;
/// How long a shape of a command grows before that.
const SHAPE: usize = 1024;
/// How much of a command's name is shown: the longest are 20 bytes, the rest are none.
const COMMAND: usize = 64;

/// What has a meaning in an entry's path.
const PATH_SPECIAL: &[u8] = b"{}*\\";
/// What has a meaning in an entry's key pattern.
const KEY_SPECIAL: &[u8] = b"{}*\\& ";
/// Characters beside controls that a policy file cannot hold, or a reader not see.
const UNPRINTABLE: [char; 5] = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];

/// Appends `METHOD PATH` with the path's variable parts taken out.
pub(super) fn http_shape(http: &HttpOp<'_>, known: Option<&Known>, out: &mut Vec<u8>) {
    out.extend_from_slice(http.method);
    if let (b"CONNECT", Some(authority)) = (http.method, http.authority) {
        out.push(b' ');
        out.extend_from_slice(authority);
    } else if !http.path.is_empty() {
        out.push(b' ');
        path(http.path, PATH_SPECIAL, known, out);
    }
}

/// Appends the path and query. Masked, the names of parameters stay and their values go.
pub(super) fn target(
    path_as_sent: &[u8],
    query: Option<&[u8]>,
    detail: LogDetail,
    known: Option<&Known>,
    out: &mut Vec<u8>,
) {
    match detail {
        LogDetail::Masked => path(path_as_sent, b"", known, out),
        LogDetail::Full => full_path(path_as_sent, out),
    }
    let Some(query) = query else { return };
    out.push(b'?');
    for pair in query.split_inclusive(|&byte| is_separator(byte)) {
        let (pair, separator) = match pair.split_last() {
            Some((&byte, pair)) if is_separator(byte) => (pair, Some(byte)),
            _ => (pair, None),
        };
        match detail {
            LogDetail::Masked => parameter(pair, None, out),
            LogDetail::Full => unless_secret(pair, out),
        }
        out.extend(separator);
    }
}

/// Between parameters of a query; `;` is an older custom.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'&' | b';')
}

/// Appends a path as sent, but for passwords and secret `;` parameters.
fn full_path(path: &[u8], out: &mut Vec<u8>) {
    for (i, segment) in path.split(|&byte| byte == b'/').enumerate() {
        if i > 0 {
            out.push(b'/');
        }
        for (i, piece) in segment.split(|&byte| byte == b';').enumerate() {
            if i > 0 {
                out.push(b';');
            }
            match i {
                0 if has_userinfo(piece) => braces("", out),
                0 => out.extend_from_slice(piece),
                _ => unless_secret(piece, out),
            }
        }
    }
}

/// Appends a path in normal form with each segment masked. Bytes of `special` get a `\`.
fn path(path: &[u8], special: &[u8], known: Option<&Known>, out: &mut Vec<u8>) {
    if path == b"*" {
        return out.push(b'*');
    }
    for (i, segment) in path.split(|&byte| byte == b'/').enumerate() {
        if i > 0 {
            out.push(b'/');
        }
        // Matrix parameters are as a query is: `;jsessionid=…`.
        for (i, piece) in segment.split(|&byte| byte == b';').enumerate() {
            if i == 0 {
                masked(piece, special, known, normalise, out);
            } else {
                out.push(b';');
                parameter(piece, known, out);
            }
        }
    }
}

/// Appends a parameter's name, if it has one, and the class of its value.
fn parameter(pair: &[u8], known: Option<&Known>, out: &mut Vec<u8>) {
    // Without `=` it is a value as far as anyone knows.
    let value = memchr::memchr(b'=', pair).map_or(0, |equals| {
        masked(&pair[..equals], b"", known, append, out);
        out.push(b'=');
        equals + 1
    });
    match classify(&pair[value..]) {
        Some(class) => braces(class.as_str(), out),
        None if pair.len() == value => {}
        None => braces("", out),
    }
}

/// Appends a parameter as sent, unless its name is that of a secret or a password is in it.
fn unless_secret(pair: &[u8], out: &mut Vec<u8>) {
    let value = memchr::memchr(b'=', pair).map_or(0, |equals| equals + 1);
    let (name, text) = pair.split_at(value);
    if has_userinfo(name) {
        return braces("", out);
    }
    out.extend_from_slice(name);
    if is_secret(name) || has_userinfo(text) {
        braces("", out);
    } else {
        out.extend_from_slice(text);
    }
}

/// Whether there is a `user:password@` in it, as in a URL within a URL.
fn has_userinfo(text: &[u8]) -> bool {
    let find = |escape: &[u8; 3], byte, text: &[u8]| {
        let escaped = text.windows(3).rposition(|part| part.eq_ignore_ascii_case(escape));
        memchr::memrchr(byte, text).max(escaped)
    };
    find(b"%40", b'@', text).is_some_and(|at| find(b"%3a", b':', &text[..at]).is_some())
}

/// Whether a parameter of this name is likely a secret: its value is never logged.
fn is_secret(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"pass",
        b"pwd",
        b"secret",
        b"token",
        b"key",
        b"auth",
        b"sig",
        b"session",
        b"code",
        b"credential",
        b"jwt",
    ];
    let mut decoded = Vec::new();
    normalise(name, &mut decoded);
    WORDS.iter().any(|word| decoded.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

/// Appends `package.Service/Method`. Its names are the schema's and no values, but whoever calls
/// can ask for any.
pub(super) fn call(grpc: &GrpcOp<'_>, known: Option<&Known>, out: &mut Vec<u8>) {
    for (i, name) in [grpc.service, grpc.method].into_iter().enumerate() {
        if i > 0 {
            out.push(b'/');
        }
        // Neither has a slash in it as a rule.
        for (i, piece) in name.split(|&byte| byte == b'/').enumerate() {
            if i > 0 {
                out.push(b'/');
            }
            let start = out.len();
            if is_new(piece, known) {
                braces(if is_name(piece) { "new" } else { "" }, out);
            } else {
                out.extend_from_slice(piece);
                escape(start, PATH_SPECIAL, out);
            }
        }
    }
}

/// Appends the call as sent.
pub(super) fn full_call(grpc: &GrpcOp<'_>, out: &mut Vec<u8>) {
    for piece in [grpc.service, b"/", grpc.method] {
        out.extend_from_slice(piece);
    }
}

/// Appends the command with the patterns of its keys and channels, each once.
pub(super) fn redis_shape(redis: &RedisOp<'_>, known: Option<&Known>, out: &mut Vec<u8>) {
    name(redis, out);
    let start = out.len();
    each(
        redis,
        KEYS,
        |prefix, text, out| {
            let word = out.len();
            out.push(b' ');
            out.extend_from_slice(prefix);
            key(text, known, out);
            // What stands before the first space is no word: an empty key is another one.
            let mut words = out[start..word].split(|&byte| byte == b' ').skip(1);
            let again = words.any(|w| w == &out[word + 1..]);
            if again {
                out.truncate(word);
            }
            out.len() < SHAPE
        },
        out,
    );
}

/// Appends the command with its keys and channels, until `limit` bytes are passed.
pub(super) fn command(
    redis: &RedisOp<'_>,
    detail: LogDetail,
    known: Option<&Known>,
    limit: usize,
    out: &mut Vec<u8>,
) {
    name(redis, out);
    each(
        redis,
        usize::MAX,
        |_, text, out| {
            out.push(b' ');
            match detail {
                LogDetail::Masked => key(text, known, out),
                LogDetail::Full => out.extend_from_slice(text),
            }
            out.len() < limit
        },
        out,
    );
}

/// Whether a command has one key at most, and no channel.
pub(super) fn has_one_key(redis: &RedisOp<'_>) -> bool {
    let at_most = |source: &Keys<'_>, count: usize| match source {
        Keys::Known(source) => {
            let mut left = count;
            source.all(&mut |_| {
                let one_more = left > 0;
                left = left.saturating_sub(1);
                one_more
            })
        }
        Keys::Unknown => true,
    };
    at_most(&redis.keys, 1) && at_most(&redis.channels, 0)
}

/// The command, its subcommand, and what it runs.
fn name(redis: &RedisOp<'_>, out: &mut Vec<u8>) {
    let upper = |name: &[u8], out: &mut Vec<u8>| {
        out.extend(name.iter().take(COMMAND).map(u8::to_ascii_uppercase));
    };
    upper(redis.command, out);
    if let Some(subcommand) = redis.subcommand {
        out.push(b'|');
        upper(subcommand, out);
    }
    match &redis.script {
        Script::None => {}
        Script::Sha1(hex) => {
            out.extend_from_slice(b" sha1:");
            out.extend_from_slice(hex);
        }
        Script::Function(function) => {
            out.push(b' ');
            out.extend(function.iter().take(COMMAND));
        }
    }
}

/// Calls `write` with each key and each channel, at most `count` of both, and the mark of a
/// channel. Appends `…` where it answers that it is enough.
fn each(
    redis: &RedisOp<'_>,
    mut count: usize,
    mut write: impl FnMut(&[u8], &[u8], &mut Vec<u8>) -> bool,
    out: &mut Vec<u8>,
) {
    let sources: [(&Keys<'_>, &[u8]); 2] = [(&redis.keys, b""), (&redis.channels, b"&")];
    for (source, mark) in sources {
        let Keys::Known(source) = source else { continue };
        let source: &dyn KeySource = *source;
        let all = source.all(&mut |text| {
            count = count.saturating_sub(1);
            write(mark, text, out) && count > 0
        });
        if !all {
            return out.extend_from_slice(" …".as_bytes());
        }
    }
}

/// Appends a key or channel with its parts masked; they are split at `:`.
fn key(key: &[u8], known: Option<&Known>, out: &mut Vec<u8>) {
    for (i, part) in key.split(|&byte| byte == b':').enumerate() {
        if i > 0 {
            out.push(b':');
        }
        match classify(part) {
            Some(class) => braces(class.as_str(), out),
            None if is_new(part, known) => braces("new", out),
            None => literal(part, out),
        }
    }
}

/// Appends a part of a key as an entry has it: `\` before what has a meaning there, `\xHH` for
/// controls and what is not UTF-8.
fn literal(part: &[u8], out: &mut Vec<u8>) {
    if part.iter().all(|&byte| byte.is_ascii_graphic() && !KEY_SPECIAL.contains(&byte)) {
        return out.extend_from_slice(part);
    }
    for chunk in part.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            if character.is_control() || UNPRINTABLE.contains(&character) {
                bytes.iter().for_each(|&byte| hex(byte, out));
            } else {
                if KEY_SPECIAL.contains(&bytes[0]) {
                    out.push(b'\\');
                }
                out.extend_from_slice(bytes);
            }
        }
        chunk.invalid().iter().for_each(|&byte| hex(byte, out));
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Appends a part of a path as `write` has it, or its class. Bytes of `special` get a `\`.
fn masked(
    part: &[u8],
    special: &[u8],
    known: Option<&Known>,
    write: fn(&[u8], &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let plain = part.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if plain {
        out.extend_from_slice(part);
    } else if has_userinfo(part) {
        return braces("", out);
    } else {
        write(part, out);
    }
    if let Some(class) = classify(&out[start..]) {
        out.truncate(start);
        braces(class.as_str(), out);
    } else if is_new(&out[start..], known) {
        out.truncate(start);
        braces("new", out);
    } else if !plain {
        escape(start, special, out);
    }
}

/// Puts a `\` before each byte of `special` from `start` on.
fn escape(start: usize, special: &[u8], out: &mut Vec<u8>) {
    let mut at = start;
    while at < out.len() {
        if special.contains(&out[at]) {
            out.insert(at, b'\\');
            at += 1;
        }
        at += 1;
    }
}

/// Whether a part is a word that is not to be shown, since nothing names it yet.
fn is_new(part: &[u8], known: Option<&Known>) -> bool {
    known.is_some_and(|known| !part.is_empty() && !known.contains(part))
}

fn append(part: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(part);
}

fn braces(class: &str, out: &mut Vec<u8>) {
    out.push(b'{');
    out.extend_from_slice(class.as_bytes());
    out.push(b'}');
}

#[cfg(test)]
mod tests;
