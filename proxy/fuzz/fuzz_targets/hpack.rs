//! Field blocks: what decodes is encoded anew, with a table and without one, and decodes to the
//! same; a list that is cut leaves the same table, unless it is too long by far; heads are read of any
//! fields.
//!
//! An input is blocks, each behind a byte that says how long it is (its high bit: a setting allows
//! a table of another size first).
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_parsers::http2::hpack::{Decoder, Encoder, Error, Field, FieldList, encode_plain};
use weir_parsers::http2::{Metadata, request, response, trailers};

fuzz_target!(|input: &[u8]| {
    let Some((&seed, mut rest)) = input.split_first() else { return };
    let most = usize::from(seed) * 8;
    let (mut decoder, mut cut) = (Decoder::new(), Decoder::new());
    let (mut encoder, mut again) = (Encoder::new(decoder.size_limit()), Decoder::new());
    again.allow(usize::MAX);
    let (mut fields, mut second) = (FieldList::new(), FieldList::new());
    while let Some((&head, after)) = rest.split_first() {
        if head & 0x80 != 0 {
            let size = usize::from(seed) * usize::from(head & 0x7f);
            decoder.allow(size);
            cut.allow(size);
        }
        let (block, after) = after.split_at(usize::from(head & 0x7f).min(after.len()));
        rest = after;
        let decoded = decoder.decode(block, usize::MAX, &mut fields);
        let short = cut.decode(block, most, &mut second);
        if short == Err(Error::ListTooLong) {
            return;
        }
        assert_eq!(decoded, short);
        assert!(second.iter().eq(fields.iter().take(second.len())));
        let Ok(decoded) = decoded else { return };
        assert!(second.len() == fields.len() || decoded.list_size > most as u64);
        assert!(decoder.size() <= decoder.size_limit());
        assert!(decoder.memory() <= 3 * decoder.size_limit().max(1 << 15) + 512);
        heads(&fields);

        if let Some(update) = decoded.update {
            encoder.resize(update);
        }
        let mut out = Vec::new();
        encoder.encode(fields.iter(), &mut out);
        again.decode(&out, usize::MAX, &mut second).expect("what is encoded decodes");
        assert!(texts(&fields).eq(texts(&second)));
        assert_eq!(again.size_limit(), decoder.size_limit());

        out.clear();
        encode_plain(fields.iter(), &mut out);
        let plain = again.decode(&out, usize::MAX, &mut second).expect("what is encoded decodes");
        assert!(!plain.changed && texts(&fields).eq(texts(&second)));
    }
});

fn texts(list: &FieldList) -> impl Iterator<Item = (&[u8], &[u8])> {
    list.iter().map(|Field { name, value, .. }| (name, value))
}

/// A list is a request, a response or trailers, or none of them; never two, unless it is empty.
fn heads(fields: &FieldList) {
    let (request, response) =
        (request(fields, Metadata::Binary), response(fields, Metadata::Binary));
    let trailers = trailers(fields, Metadata::Binary).is_ok();
    if let Ok(head) = &request {
        assert!(matches!(head.path, b"*" | b"" | [b'/', ..]));
        assert!(response.is_err() && !trailers);
    }
    if let Ok(head) = &response {
        assert!((100..1000).contains(&head.status) && !trailers);
    }
}
