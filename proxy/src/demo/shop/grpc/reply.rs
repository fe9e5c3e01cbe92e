//! What a call, or another request of HTTP/2, is answered.

use std::collections::BTreeMap;

use weir_parsers::grpc::{Messages, Piece};

use super::reader::{Event, Reader};
use crate::report::grpc;

/// An answer, as far as it has come.
#[derive(Debug, Default)]
pub(in crate::demo) struct Reply {
    /// Of the head, then of the trailers.
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    ended: bool,
    reset: bool,
}

impl Reply {
    /// Takes in what comes, if it is of this stream.
    pub(super) fn take(&mut self, stream: u32, event: Event) {
        match event {
            Event::Fields { stream: of, fields, end } if of == stream => {
                self.fields.extend(fields);
                self.ended |= end;
            }
            Event::Data { stream: of, bytes, end, .. } if of == stream => {
                self.body.extend(bytes);
                self.ended |= end;
            }
            // A server that has answered may ask for no more of the request. (RFC 9113 §8.1)
            Event::Reset { stream: of } if of == stream && !self.ended => {
                (self.ended, self.reset) = (true, true);
            }
            _ => {}
        }
    }

    /// Nothing more will come.
    pub(in crate::demo) fn ended(&self) -> bool {
        self.ended
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// gRPC's status.
    pub(in crate::demo) fn code(&self) -> Option<u32> {
        self.field("grpc-status")?.parse().ok()
    }

    /// A no: PERMISSION_DENIED, an error of HTTP, or a reset.
    pub(in crate::demo) fn refused(&self) -> bool {
        let error = || self.field(":status").is_some_and(|status| status >= "400");
        self.reset || self.code() == Some(7) || error()
    }

    /// The id that a refusal tells: in a field, or in the message as `(…)`.
    pub(in crate::demo) fn id(&self) -> Option<String> {
        let in_words = || self.field("grpc-message")?.split_once('(')?.1.split_once(')');
        self.field("weir-id").or_else(|| Some(in_words()?.0)).map(str::to_owned)
    }

    /// The messages, if they are whole.
    pub(super) fn messages(&self) -> Option<Vec<Vec<u8>>> {
        let (mut reader, mut data) = (Messages::new(), self.body.as_slice());
        let (mut all, mut message) = (Vec::new(), Vec::new());
        while let Some(piece) = reader.next(&mut data) {
            match piece {
                Piece::Begin { compressed: true, .. } | Piece::Malformed => return None,
                Piece::Begin { .. } => {}
                Piece::Payload(bytes) => message.extend_from_slice(bytes),
                Piece::End => all.push(std::mem::take(&mut message)),
            }
        }
        reader.is_between().then_some(all)
    }

    /// In a few words.
    pub(in crate::demo) fn words(&self) -> String {
        let status = match (self.reset, self.code(), self.field(":status")) {
            (true, ..) => "a reset of the stream".to_owned(),
            (_, Some(code), _) => {
                grpc::name(code).map_or_else(|| format!("status {code}"), str::to_owned)
            }
            (_, None, Some(status)) => format!("HTTP/2 {status}"),
            (_, None, None) => "an answer without a status".to_owned(),
        };
        match self.field("grpc-message") {
            Some(message) => format!("{status}, {message}"),
            None if self.body.is_empty() => status,
            None => format!("{status}, {} bytes", self.body.len()),
        }
    }
}

/// All the answers in what a server has sent, in the order of their streams.
pub(in crate::demo) fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let (mut reader, mut all) = (Reader::default(), BTreeMap::<u32, Reply>::new());
    while let Ok(Some(event)) = reader.next(&mut bytes) {
        let (Event::Fields { stream, .. } | Event::Data { stream, .. } | Event::Reset { stream }) =
            event
        else {
            continue;
        };
        all.entry(stream).or_default().take(stream, event);
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use weir_parsers::http2::FrameKind;

    use super::super::{frame, head, message};
    use super::replies;

    #[test]
    fn answers_are_told_apart_and_refusals_known() {
        let mut bytes = Vec::new();
        head(
            3,
            &[(":status", "200"), ("grpc-status", "7"), ("grpc-message", "refused (a-1)")],
            true,
            &mut bytes,
        );
        head(1, &[(":status", "200")], false, &mut bytes);
        message(1, b"hi", false, &mut bytes);
        head(1, &[("grpc-status", "0")], true, &mut bytes);
        head(5, &[(":status", "403"), ("weir-id", "a-2")], true, &mut bytes);
        frame(FrameKind::RstStream, 0, 5, &[0; 4], &mut bytes);
        frame(FrameKind::RstStream, 0, 7, &[0, 0, 0, 1], &mut bytes);
        head(9, &[(":status", "200"), ("grpc-status", "12")], true, &mut bytes);
        let all = replies(&bytes);
        let told: Vec<_> = all.iter().map(|reply| (reply.words(), reply.id())).collect();
        let told: Vec<_> = told.iter().map(|(words, id)| (&**words, id.as_deref())).collect();
        let expected = [
            ("OK, 7 bytes", None),
            ("PERMISSION_DENIED, refused (a-1)", Some("a-1")),
            ("HTTP/2 403", Some("a-2")),
            ("a reset of the stream", None),
            ("UNIMPLEMENTED", None),
        ];
        assert_eq!(told, expected);
        let refused: Vec<bool> = all.iter().map(super::Reply::refused).collect();
        assert_eq!(refused, [false, true, true, true, false]);
        assert_eq!(all[0].messages().unwrap(), [b"hi"]);
        assert!(all.iter().all(super::Reply::ended));
    }
}
