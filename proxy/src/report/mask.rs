//! Operations as the log shows them: shapes, and details with their values masked.

use weir_policy::op::{HttpOp, Keys, RedisOp};

use crate::config::LogDetail;

/// Appends `METHOD PATH` with the path's variable parts taken out.
pub(super) fn http_shape(http: &HttpOp<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(http.method);
    if !http.path.is_empty() {
        out.push(b' ');
        path(http.path, out);
    }
}

/// Appends the path and query. Masked, the names of parameters stay and their values go.
pub(super) fn target(
    path_as_sent: &[u8],
    query: Option<&[u8]>,
    detail: LogDetail,
    out: &mut Vec<u8>,
) {
    match detail {
        LogDetail::Masked => path(path_as_sent, out),
        LogDetail::Full => out.extend_from_slice(path_as_sent),
    }
    let Some(query) = query else { return };
    let mut separator = b'?';
    for parameter in query.split(|&byte| byte == b'&') {
        out.push(separator);
        separator = b'&';
        // A parameter without `=` is a value as far as anyone knows.
        let value = memchr::memchr(b'=', parameter).map_or(0, |equals| equals + 1);
        out.extend_from_slice(&parameter[..value]);
        match detail {
            LogDetail::Full if !is_secret(&parameter[..value]) => {
                out.extend_from_slice(&parameter[value..]);
            }
            _ => out.extend_from_slice(b"{}"),
        }
    }
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
    WORDS.iter().any(|word| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

/// Appends the command with its key patterns.
pub(super) fn redis_shape(redis: &RedisOp<'_>, out: &mut Vec<u8>) {
    command(redis, LogDetail::Masked, usize::MAX, out);
}

/// Appends the command with its keys, until `limit` bytes are passed.
pub(super) fn command(redis: &RedisOp<'_>, detail: LogDetail, limit: usize, out: &mut Vec<u8>) {
    out.extend(redis.command.iter().map(u8::to_ascii_uppercase));
    if let Some(subcommand) = redis.subcommand {
        out.push(b'|');
        out.extend(subcommand.iter().map(u8::to_ascii_uppercase));
    }
    if let Keys::Known(keys) = redis.keys {
        keys.all(&mut |name| {
            out.push(b' ');
            match detail {
                LogDetail::Masked => key(name, out),
                LogDetail::Full => out.extend_from_slice(name),
            }
            out.len() < limit
        });
    }
}

fn path(path: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(path);
}

fn key(key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
}
