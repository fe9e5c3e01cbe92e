//! Field compression against a model of its tables, and against itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weir_parsers::http2::hpack::{
    AMPLIFICATION, DEFAULT_TABLE_SIZE, Decoder, Encoder, Error, Field, FieldList, Representation,
    SizeUpdate, encode_plain, size_update,
};

type Owned = (Vec<u8>, Vec<u8>, Representation);

fn representation() -> impl Strategy<Value = Representation> {
    use Representation::*;
    select(vec![Indexed, Incremental, Incremental, Without, Never])
}

/// Names and values that meet again, in the tables too, and some that do not.
fn field() -> impl Strategy<Value = Owned> {
    let words = ["", "a", ":method", ":path", "cookie", "x-request-id"];
    let name = prop_oneof![
        4 => select(words.to_vec()).prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ];
    let values = ["", "GET", "/", "1", "2", "a longer value of forty bytes, or about"];
    let value = prop_oneof![
        4 => select(values.to_vec()).prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..200),
    ];
    (name, value, representation())
}

fn list(fields: &[Owned]) -> FieldList {
    let mut list = FieldList::new();
    for (name, value, representation) in fields {
        list.push(name, value, *representation);
    }
    list
}

fn owned(field: Field<'_>) -> Owned {
    (field.name.to_vec(), field.value.to_vec(), field.representation)
}

fn pairs(list: &FieldList) -> Vec<(Vec<u8>, Vec<u8>)> {
    list.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

/// Whether a field's representation came through: what stayed out of the table still does.
fn same_intent(before: Representation, after: Representation) -> bool {
    use Representation::*;
    match before {
        Without | Never => after == before,
        // One that is too large for the table is not inserted.
        Indexed | Incremental => after != Never,
    }
}

/// One instruction of a block. Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Indexed(usize),
    Literal { name: Result<usize, Vec<u8>>, value: Vec<u8>, representation: Representation },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || vec(any::<u8>(), 0..60);
    let literal = |representations: Vec<Representation>| {
        let name = prop_oneof![any::<usize>().prop_map(Ok), bytes().prop_map(Err)];
        (name, bytes(), select(representations))
            .prop_map(|(name, value, representation)| Step::Literal { name, value, representation })
    };
    use Representation::*;
    prop_oneof![
        2 => any::<usize>().prop_map(Step::Indexed),
        3 => literal(vec![Incremental]),
        1 => literal(vec![Without, Never]),
    ]
}

/// RFC 7541 as it is written: the newest entry first, and sums anew each time.
struct Model {
    statics: Vec<(Vec<u8>, Vec<u8>)>,
    dynamic: Vec<(Vec<u8>, Vec<u8>)>,
    limit: usize,
}

impl Model {
    fn new() -> Self {
        let block: Vec<u8> = (1..=61).map(|index| 0x80 | index).collect();
        let mut statics = FieldList::new();
        Decoder::new().decode(&block, usize::MAX, &mut statics).unwrap();
        Self { statics: pairs(&statics), dynamic: Vec::new(), limit: DEFAULT_TABLE_SIZE }
    }

    fn resize(&mut self, limit: usize) {
        self.limit = limit;
        while self.size() > limit {
            self.dynamic.pop();
        }
    }

    fn size(&self) -> usize {
        self.dynamic.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    /// An index that is there, and its entry.
    fn entry(&self, any: usize) -> (usize, (Vec<u8>, Vec<u8>)) {
        let at = any % (self.statics.len() + self.dynamic.len());
        let entry = self.statics.iter().chain(&self.dynamic).nth(at).unwrap();
        (at + 1, entry.clone())
    }

    fn step(&mut self, step: &Step, block: &mut Vec<u8>) -> Owned {
        match step {
            Step::Indexed(any) => {
                let (index, (name, value)) = self.entry(*any);
                integer(0x80, 7, index, block);
                (name, value, Representation::Indexed)
            }
            Step::Literal { name, value, representation } => {
                let (first, bits) = match representation {
                    Representation::Incremental => (0x40, 6),
                    Representation::Never => (0x10, 4),
                    _ => (0, 4),
                };
                let name = match name {
                    Ok(any) => {
                        let (index, (name, _)) = self.entry(*any);
                        integer(first, bits, index, block);
                        name
                    }
                    Err(name) => {
                        block.push(first);
                        integer(0, 7, name.len(), block);
                        block.extend_from_slice(name);
                        name.clone()
                    }
                };
                integer(0, 7, value.len(), block);
                block.extend_from_slice(value);
                if *representation == Representation::Incremental {
                    self.dynamic.insert(0, (name.clone(), value.clone()));
                    self.resize(self.limit);
                }
                (name, value.clone(), *representation)
            }
        }
    }
}

/// RFC 7541 §5.1, as its pseudocode says.
fn integer(first: u8, bits: u32, mut value: usize, out: &mut Vec<u8>) {
    let most = 2usize.pow(bits) - 1;
    if value < most {
        return out.push(first | u8::try_from(value).unwrap());
    }
    out.push(first | u8::try_from(most).unwrap());
    value -= most;
    while value >= 128 {
        out.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    out.push(u8::try_from(value).unwrap());
}

proptest! {
    #[test]
    fn any_bytes_decode_or_not(blocks in vec(vec(any::<u8>(), 0..200), 0..8), most in 0usize..2000) {
        let (mut decoder, mut fields) = (Decoder::new(), FieldList::new());
        for block in blocks {
            let Ok(decoded) = decoder.decode(&block, most, &mut fields) else { break };
            let kept: usize = fields.iter().map(|f| f.name.len() + f.value.len() + 32).sum();
            prop_assert!(kept <= most);
            prop_assert!(kept as u64 == decoded.list_size || decoded.list_size > most as u64);
            prop_assert!(decoder.size() <= decoder.size_limit());
        }
    }

    #[test]
    fn the_table_is_the_models(
        blocks in vec((vec(0usize..=4096, 0..=2), vec(step(), 0..20)), 0..12),
        most in 0usize..3000,
    ) {
        let (mut model, mut decoder) = (Model::new(), Decoder::new());
        let mut cut = Decoder::new();
        let mut fields = FieldList::new();
        for (sizes, steps) in blocks {
            let mut block = Vec::new();
            for &size in &sizes {
                size_update(size, &mut block);
                model.resize(size);
            }
            let expected: Vec<_> = steps.iter().map(|step| model.step(step, &mut block)).collect();
            let decoded = decoder.decode(&block, usize::MAX, &mut fields).unwrap();
            prop_assert_eq!(fields.iter().map(owned).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!((decoder.size(), decoder.size_limit()), (model.size(), model.limit));
            let update = sizes.last().map(|&last| SizeUpdate { least: *sizes.iter().min().unwrap(), last });
            prop_assert_eq!(decoded.update, update);
            let inserts = expected.iter().any(|field| field.2 == Representation::Incremental);
            prop_assert_eq!(decoded.changed, inserts || update.is_some());
            prop_assert!(decoder.memory() <= 3 * DEFAULT_TABLE_SIZE + 320);
            prop_assert!(model.limit > 0 || decoder.memory() == 0);
            // A list that is cut says the same size, keeps its front and leaves the same table;
            // one that is too long by far is an error.
            let short = cut.decode(&block, most, &mut fields);
            let stop = AMPLIFICATION * most.max(block.len()) + model.limit;
            if decoded.list_size > most as u64 && decoded.list_size > stop as u64 {
                prop_assert_eq!(short, Err(Error::ListTooLong));
                break;
            }
            prop_assert_eq!(short, Ok(decoded));
            prop_assert_eq!((cut.size(), cut.memory() <= 3 * DEFAULT_TABLE_SIZE + 320), (model.size(), true));
            let mut size = 0;
            let fit = expected.iter().take_while(|field| {
                size += field.0.len() + field.1.len() + 32;
                size <= most
            });
            prop_assert_eq!(fields.iter().map(owned).collect::<Vec<_>>(), fit.cloned().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_encoder_stays_in_step(
        size in 0usize..5000,
        blocks in vec((proptest::option::of((0usize..5000, 0usize..5000)), vec(field(), 0..12)), 0..12),
    ) {
        let mut encoder = Encoder::new(size);
        let mut decoder = Decoder::new();
        decoder.allow(5000);
        // Another encoder was at work before.
        decoder.decode(b"\x40\x01a\x01b\x40\x01c\x01d", 0, &mut FieldList::new()).unwrap();
        let mut fields = FieldList::new();
        let mut last = size;
        for (update, block) in blocks {
            if let Some((a, b)) = update {
                encoder.resize(SizeUpdate { least: a.min(b), last: b });
                last = b;
            }
            let list = list(&block);
            let mut out = b"before".to_vec();
            encoder.encode(list.iter(), &mut out);
            decoder.decode(out.strip_prefix(b"before").unwrap(), usize::MAX, &mut fields).unwrap();
            prop_assert_eq!(pairs(&fields), pairs(&list));
            for (before, after) in list.iter().zip(fields.iter()) {
                prop_assert!(same_intent(before.representation, after.representation));
            }
            prop_assert_eq!((decoder.size_limit(), encoder.size_limit()), (last, last));
        }
    }

    #[test]
    fn plain_encoding_touches_no_table(fields in vec(field(), 0..20)) {
        let list = list(&fields);
        let mut block = Vec::new();
        encode_plain(list.iter(), &mut block);
        let (mut decoder, mut read) = (Decoder::new(), FieldList::new());
        let decoded = decoder.decode(&block, usize::MAX, &mut read).unwrap();
        prop_assert!(!decoded.changed);
        prop_assert_eq!(decoder.memory(), 0);
        prop_assert_eq!(pairs(&read), pairs(&list));
        for (before, after) in list.iter().zip(read.iter()) {
            prop_assert!(same_intent(before.representation, after.representation));
        }
    }
}
