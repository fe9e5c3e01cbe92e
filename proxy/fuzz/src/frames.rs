//! What a receiver makes of one direction of an HTTP/2 connection, with a table of its own.

use weir_parsers::http2::hpack::{Decoder, FieldList, Representation};
use weir_parsers::http2::{
    FRAME_HEADER, FrameHeader, FrameKind, PREFACE, data_layout, flag, headers_fragment, setting,
    settings,
};

/// A field: its name, its value, and whether it must never be indexed.
pub type Field = (Vec<u8>, Vec<u8>, bool);

/// What has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A field block.
    Block {
        /// Its stream.
        stream: u32,
        /// It ends its sender's side.
        last: bool,
        /// Its priority fields.
        priority: Vec<u8>,
        /// What it says.
        fields: Vec<Field>,
    },
    /// DATA.
    Data {
        /// Its stream.
        stream: u32,
        /// It ends its sender's side.
        last: bool,
        /// Its payload, padding included.
        payload: Vec<u8>,
    },
    /// SETTINGS, whose values may be lowered.
    Settings {
        /// An acknowledgement.
        ack: bool,
    },
    /// Any other frame.
    Frame {
        /// Its type.
        kind: FrameKind,
        /// Its stream.
        stream: u32,
        /// Its payload.
        payload: Vec<u8>,
    },
}

impl Event {
    /// The stream that it names.
    pub fn stream(&self) -> u32 {
        match self {
            Event::Block { stream, .. }
            | Event::Data { stream, .. }
            | Event::Frame { stream, .. } => *stream,
            Event::Settings { .. } => 0,
        }
    }
}

/// What one direction says.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// What came whole, before the first fault.
    pub events: Vec<Event>,
    /// Why no more could be read.
    pub fault: Option<String>,
    /// The payload of its DATA frames.
    pub data: u64,
    /// The window of the connection that it gives.
    pub credit: u64,
}

/// The table sizes in SETTINGS, in order; none where a frame says nothing of it.
pub fn tables(bytes: &[u8], client: bool) -> Vec<Option<u32>> {
    let mut rest = after_preface(bytes, client);
    let mut tables = Vec::new();
    while let Some(header) = FrameHeader::read(rest) {
        let Some(payload) = rest[FRAME_HEADER..].get(..header.length) else { break };
        rest = &rest[FRAME_HEADER + header.length..];
        if header.kind == FrameKind::Settings && !header.has(flag::ACK) {
            let said = settings(payload).filter(|(id, _)| *id == setting::HEADER_TABLE_SIZE);
            tables.push(said.last().map(|(_, value)| value));
        }
    }
    tables
}

fn after_preface(bytes: &[u8], client: bool) -> &[u8] {
    if client { bytes.get(PREFACE.len()..).unwrap_or_default() } else { bytes }
}

/// Reads what went in one direction. `tables`: what its receiver's SETTINGS say of the table, each
/// of which is in force once it was acknowledged.
pub fn read(bytes: &[u8], client: bool, tables: &[Option<u32>]) -> Read {
    let mut read = Read::default();
    let rest = after_preface(bytes, client);
    if let Err(fault) = frames(rest, tables, &mut read) {
        read.fault = Some(fault);
    }
    read
}

fn frames(mut rest: &[u8], tables: &[Option<u32>], read: &mut Read) -> Result<(), String> {
    let mut tables = tables.iter();
    let mut decoder = Decoder::new();
    let mut list = FieldList::new();
    let mut open: Option<(u32, bool, Vec<u8>, Vec<u8>)> = None;
    while let Some(header) = FrameHeader::read(rest) {
        let Some(payload) = rest[FRAME_HEADER..].get(..header.length) else { break };
        rest = &rest[FRAME_HEADER + header.length..];
        header.check(1 << 20).map_err(|reason| reason.label().to_owned())?;
        let stream = header.stream;
        match header.kind {
            FrameKind::Continuation => match &mut open {
                Some((id, _, _, block)) if *id == stream => block.extend_from_slice(payload),
                _ => return Err("a CONTINUATION of nothing".to_owned()),
            },
            kind if open.is_some() => return Err(format!("{kind:?} within a block")),
            FrameKind::Headers => {
                let block = headers_fragment(&header, payload).map_err(|r| r.label().to_owned())?;
                let from = usize::from(header.has(flag::PADDED));
                let five = if header.has(flag::PRIORITY) { 5 } else { 0 };
                let priority = payload[from..from + five].to_vec();
                open = Some((stream, header.has(flag::END_STREAM), priority, block.to_vec()));
            }
            FrameKind::Data => {
                let layout = data_layout(&header, payload.first().copied());
                layout.expect("whole").map_err(|reason| reason.label().to_owned())?;
                read.data += payload.len() as u64;
                let (last, payload) = (header.has(flag::END_STREAM), payload.to_vec());
                read.events.push(Event::Data { stream, last, payload });
            }
            FrameKind::Settings => {
                let ack = header.has(flag::ACK);
                if ack && let Some(Some(table)) = tables.next() {
                    decoder.allow(*table as usize);
                }
                read.events.push(Event::Settings { ack });
            }
            kind => {
                if kind == FrameKind::WindowUpdate && stream == 0 {
                    let window = payload.first_chunk().copied().map_or(0, u32::from_be_bytes);
                    read.credit += u64::from(window & 0x7fff_ffff);
                }
                read.events.push(Event::Frame { kind, stream, payload: payload.to_vec() });
            }
        }
        let ends = matches!(header.kind, FrameKind::Headers | FrameKind::Continuation)
            && header.has(flag::END_HEADERS);
        if ends && let Some((stream, last, priority, block)) = open.take() {
            decoder
                .decode(&block, usize::MAX, &mut list)
                .map_err(|error| format!("{}: {}", error.label(), block.escape_ascii()))?;
            let fields = list
                .iter()
                .map(|field| {
                    let never = field.representation == Representation::Never;
                    (field.name.to_vec(), field.value.to_vec(), never)
                })
                .collect();
            read.events.push(Event::Block { stream, last, priority, fields });
        }
    }
    Ok(())
}
