//! What the bytes of a connection say, frame by frame.

use std::io;

use weir_parsers::http2::hpack::{Decoder, FieldList};
use weir_parsers::http2::{
    FRAME_HEADER, FrameHeader, FrameKind, data_layout, flag, headers_fragment,
};

use super::nonsense;

/// The longest frame: what each side may send unasked.
const FRAME: usize = 16 << 10;
/// The longest field block, and the longest list in one.
const BLOCK: usize = 64 << 10;

/// What has come.
pub(in crate::demo::shop) enum Event {
    /// A whole head or trailers.
    Fields { stream: u32, fields: Vec<(String, String)>, end: bool },
    /// Content, and how much of the windows its frame takes.
    Data { stream: u32, bytes: Vec<u8>, length: usize, end: bool },
    /// The end of a stream.
    Reset { stream: u32 },
    /// Settings that are to be acknowledged.
    Settings,
    /// A question that is to be answered with the same.
    Ping([u8; 8]),
    /// What does not matter here.
    Other,
}

/// Reads the frames of one side of a connection in order.
#[derive(Default)]
pub(super) struct Reader {
    decoder: Decoder,
    /// A field block whose end has not come.
    open: Option<Block>,
}

struct Block {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes the next frame off `bytes`; none if it is not whole.
    ///
    /// # Errors
    /// It is no frame that may be there.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> io::Result<Option<Event>> {
        let Some(header) = FrameHeader::read(bytes) else { return Ok(None) };
        header.check(FRAME).map_err(|_| nonsense())?;
        let Some((whole, rest)) = bytes.split_at_checked(FRAME_HEADER + header.length) else {
            return Ok(None);
        };
        *bytes = rest;
        let payload = whole.get(FRAME_HEADER..).unwrap_or_default();
        self.frame(&header, payload).map(Some)
    }

    fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<Event> {
        let (stream, end) = (header.stream, header.has(flag::END_STREAM));
        match (header.kind, &mut self.open) {
            (FrameKind::Continuation, Some(block)) if block.stream == stream => {
                block.bytes.extend_from_slice(payload);
                self.block(header)
            }
            (_, Some(_)) | (FrameKind::Continuation, None) => Err(nonsense()),
            (FrameKind::Headers, None) => {
                let bytes = headers_fragment(header, payload).map_err(|_| nonsense())?.to_vec();
                self.open = Some(Block { stream, end, bytes });
                self.block(header)
            }
            (FrameKind::Data, None) => {
                let layout = data_layout(header, payload.first().copied());
                let layout = layout.ok_or_else(nonsense)?.map_err(|_| nonsense())?;
                let content =
                    payload.get(layout.before..).and_then(|rest| rest.get(..layout.content));
                let bytes = content.ok_or_else(nonsense)?.to_vec();
                Ok(Event::Data { stream, bytes, length: header.length, end })
            }
            (FrameKind::RstStream, None) => Ok(Event::Reset { stream }),
            (FrameKind::Settings, None) if !header.has(flag::ACK) => Ok(Event::Settings),
            (FrameKind::Ping, None) if !header.has(flag::ACK) => {
                Ok(Event::Ping(payload.try_into().map_err(|_| nonsense())?))
            }
            _ => Ok(Event::Other),
        }
    }

    /// Decodes the block that is open, if it ends with this frame.
    fn block(&mut self, header: &FrameHeader) -> io::Result<Event> {
        let long = self.open.as_ref().is_some_and(|block| block.bytes.len() > BLOCK);
        if long {
            return Err(nonsense());
        }
        let ends = header.has(flag::END_HEADERS);
        let Some(Block { stream, end, bytes }) = self.open.take_if(|_| ends) else {
            return Ok(Event::Other);
        };
        let mut list = FieldList::new();
        self.decoder.decode(&bytes, BLOCK, &mut list).map_err(|_| nonsense())?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = list.iter().map(|field| (text(field.name), text(field.value))).collect();
        Ok(Event::Fields { stream, fields, end })
    }
}

#[cfg(test)]
mod tests {
    use weir_parsers::http2::{FrameKind, flag};

    use super::super::{fields, frame, head, message};
    use super::{Event, Reader};

    #[test]
    fn a_head_is_read_however_it_is_cut() {
        let mut whole = Vec::new();
        head(1, &[(":path", "/shop.Stock/Watch")], true, &mut whole);
        for cut in 0..whole.len() {
            assert!(Reader::default().next(&mut &whole[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        let mut block = Vec::new();
        fields(&[(":path", "/shop.Stock/Watch")], &mut block);
        let (first, rest) = block.split_at(3);
        let mut parts = Vec::new();
        frame(FrameKind::Headers, flag::END_STREAM, 1, first, &mut parts);
        frame(FrameKind::Continuation, flag::END_HEADERS, 1, rest, &mut parts);
        for bytes in [whole, parts] {
            let (mut reader, mut bytes) = (Reader::default(), bytes.as_slice());
            let mut event = reader.next(&mut bytes).unwrap().unwrap();
            if let Event::Other = event {
                event = reader.next(&mut bytes).unwrap().unwrap();
            }
            let Event::Fields { stream: 1, fields, end: true } = event else { panic!("no head") };
            assert_eq!(fields, [(":path".to_owned(), "/shop.Stock/Watch".to_owned())]);
        }
    }

    #[test]
    fn between_the_parts_of_a_head_nothing_else_may_be() {
        let mut bytes = Vec::new();
        frame(FrameKind::Headers, 0, 1, &[], &mut bytes);
        message(1, b"", true, &mut bytes);
        let (mut reader, mut bytes) = (Reader::default(), bytes.as_slice());
        assert!(matches!(reader.next(&mut bytes), Ok(Some(Event::Other))));
        assert!(reader.next(&mut bytes).is_err());
    }
}
