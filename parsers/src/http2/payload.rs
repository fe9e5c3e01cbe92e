//! How the payloads of frames divide (RFC 9113 §6).

use super::frame::stream_id;
use super::{FrameHeader, Reason, flag, setting};

/// The fragment of a field block in the payload of a whole HEADERS frame: padding and priority
/// fields are taken off (RFC 9113 §6.2).
///
/// # Errors
/// The payload is too short for what the flags announce.
#[inline]
pub fn headers_fragment<'a>(header: &FrameHeader, payload: &'a [u8]) -> Result<&'a [u8], Reason> {
    let (padding, rest) = padding(header, payload)?;
    let rest = match rest.split_first_chunk::<5>() {
        _ if !header.has(flag::PRIORITY) => rest,
        Some((_, rest)) => rest,
        None => return Err(Reason::FrameTooShort),
    };
    without_padding(rest, padding)
}

/// The promised stream, and the fragment of the promised request's field block, in the payload of a
/// whole PUSH_PROMISE frame (RFC 9113 §6.6).
///
/// # Errors
/// The payload is too short, or the stream is not one that a server can begin: it is 0 or odd.
pub fn push_promise_fragment<'a>(
    header: &FrameHeader,
    payload: &'a [u8],
) -> Result<(u32, &'a [u8]), Reason> {
    let (padding, rest) = padding(header, payload)?;
    let (stream, rest) = rest.split_first_chunk::<4>().ok_or(Reason::FrameTooShort)?;
    let fragment = without_padding(rest, padding)?;
    let stream = stream_id(*stream);
    if stream == 0 || stream % 2 == 1 {
        return Err(Reason::PromisedStream);
    }
    Ok((stream, fragment))
}

fn padding<'a>(header: &FrameHeader, payload: &'a [u8]) -> Result<(usize, &'a [u8]), Reason> {
    if !header.has(flag::PADDED) {
        return Ok((0, payload));
    }
    let (&padding, rest) = payload.split_first().ok_or(Reason::FrameTooShort)?;
    Ok((padding.into(), rest))
}

fn without_padding(bytes: &[u8], padding: usize) -> Result<&[u8], Reason> {
    let content = bytes.len().checked_sub(padding).ok_or(Reason::PaddingTooLong)?;
    Ok(&bytes[..content])
}

/// How the payload of a DATA frame divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLayout {
    /// Bytes before the content: 1 if it is padded.
    pub before: usize,
    /// Bytes of content.
    pub content: usize,
    /// Bytes of padding behind it.
    pub padding: usize,
}

/// How a DATA frame with this header divides (RFC 9113 §6.1). `first` is the first byte of the
/// payload; none is answered if that is needed and has not come.
#[inline]
pub fn data_layout(header: &FrameHeader, first: Option<u8>) -> Option<Result<DataLayout, Reason>> {
    if !header.has(flag::PADDED) {
        return Some(Ok(DataLayout { before: 0, content: header.length, padding: 0 }));
    }
    let Some(left) = header.length.checked_sub(1) else {
        return Some(Err(Reason::FrameTooShort));
    };
    let padding = usize::from(first?);
    Some(match left.checked_sub(padding) {
        Some(content) => Ok(DataLayout { before: 1, content, padding }),
        None => Err(Reason::PaddingTooLong),
    })
}

/// The settings in the payload of a SETTINGS frame, in order.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + Clone {
    payload.as_chunks::<6>().0.iter().map(|&[i0, i1, v0, v1, v2, v3]| {
        (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))
    })
}

/// Checks the value of a setting (RFC 9113 §6.5.2, RFC 8441 §3).
///
/// # Errors
/// It is outside the setting's range.
pub fn check_setting(id: u16, value: u32) -> Result<(), Reason> {
    match (id, value) {
        (setting::ENABLE_PUSH | setting::ENABLE_CONNECT_PROTOCOL, 2..) => {
            Err(Reason::SettingInvalid)
        }
        (setting::INITIAL_WINDOW_SIZE, 0x8000_0000..) => Err(Reason::InitialWindowTooLarge),
        (setting::MAX_FRAME_SIZE, ..0x4000 | 0x0100_0000..) => Err(Reason::SettingInvalid),
        _ => Ok(()),
    }
}

/// By how much a WINDOW_UPDATE frame opens the window (RFC 9113 §6.9).
///
/// # Errors
/// By nothing, or it has not four bytes.
pub fn window_increment(header: &FrameHeader, payload: &[u8]) -> Result<u32, Reason> {
    let bytes = payload.try_into().map_err(|_| Reason::WindowUpdateLength)?;
    match (stream_id(bytes), header.stream) {
        (0, 0) => Err(Reason::ConnectionIncrementZero),
        (0, _) => Err(Reason::StreamIncrementZero),
        (increment, _) => Ok(increment),
    }
}
