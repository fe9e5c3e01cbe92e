//! The little Protocol Buffers that the shop's messages need: numbers and texts.

/// A message as it is written.
#[derive(Clone, Debug, Default)]
pub(in crate::demo) struct Message(Vec<u8>);

impl Message {
    /// With a field that is a number more.
    pub(in crate::demo) fn number(mut self, field: u8, value: u64) -> Self {
        varint(u64::from(field) << 3, &mut self.0);
        varint(value, &mut self.0);
        self
    }

    /// With a field that is a text, or a message, more.
    pub(in crate::demo) fn text(mut self, field: u8, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        varint(u64::from(field) << 3 | 2, &mut self.0);
        varint(value.len() as u64, &mut self.0);
        self.0.extend_from_slice(value);
        self
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The last number in a message with this field's number. None: there is none, or the message
/// cannot be read.
pub(in crate::demo) fn number(message: &[u8], field: u8) -> Option<u64> {
    let of_it = |&(of, value)| match value {
        Value::Number(value) if of == u64::from(field) => Some(value),
        _ => None,
    };
    read(message)?.iter().rev().find_map(of_it)
}

/// The last text, the same way.
pub(in crate::demo) fn text(message: &[u8], field: u8) -> Option<String> {
    let of_it = |&(of, value)| match value {
        Value::Text(value) if of == u64::from(field) => Some(value),
        _ => None,
    };
    String::from_utf8(read(message)?.iter().rev().find_map(of_it)?.to_vec()).ok()
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Text(&'a [u8]),
}

fn read(mut message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Number(take_varint(&mut message)?),
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                let (text, rest) = message.split_at_checked(length)?;
                message = rest;
                Value::Text(text)
            }
            _ => return None,
        };
        all.push((tag >> 3, value));
    }
    Some(all)
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Message, number, text};

    #[test]
    fn a_message_survives_the_wire() {
        let message = Message::default().number(1, 300).text(15, "north").number(2, u64::MAX);
        assert_eq!(&message.as_ref()[..5], b"\x08\xac\x02\x7a\x05");
        assert_eq!(number(message.as_ref(), 1), Some(300));
        assert_eq!(number(message.as_ref(), 2), Some(u64::MAX));
        assert_eq!(text(message.as_ref(), 15).as_deref(), Some("north"));
        assert_eq!((number(message.as_ref(), 15), number(b"", 1)), (None, None));
        let whole = message.as_ref().len();
        assert_eq!(number(&message.as_ref()[..whole - 1], 1), None);
    }
}
