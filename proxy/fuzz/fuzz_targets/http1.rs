//! A stream of HTTP/1 messages says the same however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::Cuts;
use weir_parsers::http1::{
    Body, BodyPart, HeadKind, HeadScan, Reason, RequestKind, request, response,
};

fuzz_target!(|input: &[u8]| {
    let Some((&seed, data)) = input.split_first() else { return };
    let kind = if seed & 1 == 0 { HeadKind::Request } else { HeadKind::Response };
    let limit = if seed & 2 == 0 { 64 << 10 } else { 100 };
    let mut cuts = Cuts::new(seed);
    let whole = read(data, kind, limit, || usize::MAX);
    let cut = read(data, kind, limit, || cuts.next_len());
    assert_eq!(whole, cut);
    assert_eq!(whole, read(data, kind, limit, || 1));
});

#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// A head, in the parser's own words.
    Head(String),
    Content(usize),
    Trailers(String),
    End,
    Error(Reason),
}

enum State {
    Head(HeadScan),
    Body(Body),
}

fn read(data: &[u8], kind: HeadKind, limit: usize, mut cut: impl FnMut() -> usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut state = State::Head(HeadScan::default());
    let (mut start, mut end) = (0, 0);
    while end < data.len() {
        end = end.saturating_add(cut()).min(data.len());
        loop {
            match step(&mut state, &data[start..end], kind, limit, &mut events) {
                Ok(Some(n)) => start += n,
                Ok(None) => break,
                Err(reason) => {
                    events.push(Event::Error(reason));
                    return events;
                }
            }
        }
    }
    if let State::Body(body) = state
        && let Err(reason) = body.eof()
    {
        events.push(Event::Error(reason));
    }
    events
}

/// One step: how many bytes it took, or none where more are needed.
fn step(
    state: &mut State,
    buf: &[u8],
    kind: HeadKind,
    limit: usize,
    events: &mut Vec<Event>,
) -> Result<Option<usize>, Reason> {
    match state {
        State::Head(scan) => {
            let Some(len) = scan.find(buf, kind, limit)? else { return Ok(None) };
            let body = head(&buf[..len], kind, events)?;
            *state = State::Body(body);
            Ok(Some(len))
        }
        State::Body(body) => match body.next(buf, limit)? {
            BodyPart::Partial => Ok(None),
            BodyPart::Data(n) => {
                assert!(n <= buf.len());
                match events.last_mut() {
                    Some(Event::Content(m)) => *m += n,
                    _ => events.push(Event::Content(n)),
                }
                Ok((n > 0).then_some(n))
            }
            BodyPart::Framing(n) => {
                assert!(0 < n && n <= buf.len());
                Ok(Some(n))
            }
            BodyPart::Trailers { len, fields } => {
                events.push(Event::Trailers(format!("{:?}", fields.collect::<Vec<_>>())));
                Ok(Some(len))
            }
            BodyPart::End => {
                events.push(Event::End);
                *state = State::Head(HeadScan::default());
                Ok((!buf.is_empty()).then_some(0))
            }
        },
    }
}

fn head(head: &[u8], kind: HeadKind, events: &mut Vec<Event>) -> Result<Body, Reason> {
    let (text, body) = match kind {
        HeadKind::Request => {
            let head = request(head)?;
            (
                format!("{:?} {:?}", head, head.fields.clone().collect::<Vec<_>>()),
                Body::from(head.body),
            )
        }
        HeadKind::Response => {
            let head = response(head, RequestKind::Normal)?;
            (
                format!("{:?} {:?}", head, head.fields.clone().collect::<Vec<_>>()),
                Body::from(head.body),
            )
        }
    };
    events.push(Event::Head(text));
    Ok(body)
}
