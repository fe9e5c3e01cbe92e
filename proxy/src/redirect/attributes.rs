//! Netlink attributes: length, type and value, padded to four bytes (netlink(7)).

/// The header of an attribute: two bytes of length, two of type.
const HEADER: usize = 4;
/// The bits of the type that say how the value is to be read (`NLA_F_NESTED`,
/// `NLA_F_NET_BYTEORDER`) and are no part of it.
const FLAGS: u16 = 0xc000;
const NESTED: u16 = 0x8000;

/// Writes attributes behind what is there already.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    /// An attribute of these bytes.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |writer| writer.0.extend_from_slice(value));
    }

    /// A string, which ends with NUL.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |writer| {
            writer.0.extend_from_slice(value.as_bytes());
            writer.0.push(0);
        });
    }

    /// A number, which goes in network order throughout nf_tables.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A number with a sign: a verdict, a priority.
    pub(super) fn signed(&mut self, kind: u16, value: i32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute of attributes.
    pub(super) fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Writer<'_>)) {
        self.attribute(kind | NESTED, inside);
    }

    fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Writer<'_>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        value(&mut Writer(self.0));
        // Names, addresses and the steps of one rule are far shorter; the kernel would refuse more.
        let len = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// Attributes as the kernel sent them, in its order. What is cut short ends them.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this type.
    pub(super) fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter().find_map(|(this, value)| (this == kind).then_some(value))
    }

    /// The attributes within one.
    pub(super) fn nested(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    /// A number in network order.
    pub(super) fn number(self, kind: u16) -> Option<u32> {
        self.get(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A number in network order, with a sign.
    pub(super) fn signed(self, kind: u16) -> Option<i32> {
        self.get(kind)?.try_into().ok().map(i32::from_be_bytes)
    }

    /// A number of eight bytes in network order.
    pub(super) fn long(self, kind: u16) -> Option<u64> {
        self.get(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// A string without its NUL.
    pub(super) fn text(self, kind: u16) -> Option<String> {
        let bytes = self.get(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.0.first_chunk::<HEADER>()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !FLAGS;
        let value = self.0.get(HEADER..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        writer.text(1, "weir");
        writer.number(2, 7);
        writer.nested(3, |inside| {
            inside.signed(1, -100);
            inside.bytes(2, &[1, 2, 3]);
        });
        let read = Attributes(&bytes);
        assert_eq!(read.text(1).as_deref(), Some("weir"));
        assert_eq!(read.number(2), Some(7));
        let inside = read.nested(3).unwrap();
        assert_eq!((inside.signed(1), inside.get(2)), (Some(-100), Some(&[1, 2, 3][..])));
        assert_eq!(read.map(|(kind, _)| kind).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(read.get(4), None);
    }

    #[test]
    fn what_is_cut_short_ends_them() {
        let mut bytes = Vec::new();
        Writer(&mut bytes).number(1, 7);
        for end in 0..bytes.len() {
            assert_eq!(Attributes(&bytes[..end]).count(), 0);
        }
        // A length below that of the header.
        assert_eq!(Attributes(&[0, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
    }
}
