//! The examples of RFC 7541 Appendix C, and what must be refused.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Decodes a block into lines `name: value`.
fn decode(decoder: &mut Decoder, hex: &str) -> Result<Vec<String>, Error> {
    let mut fields = FieldList::new();
    let decoded = decoder.decode(&bytes(hex), usize::MAX, &mut fields)?;
    let size: usize = fields.iter().map(|f| f.name.len() + f.value.len() + FIELD_OVERHEAD).sum();
    assert_eq!(decoded.list_size, size as u64);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect())
}

fn representation(hex: &str) -> (Representation, bool) {
    let mut fields = FieldList::new();
    let decoded = Decoder::new().decode(&bytes(hex), usize::MAX, &mut fields).unwrap();
    (fields.iter().next().unwrap().representation, decoded.changed)
}

/// C.1.
#[test]
fn integers() {
    for (value, hex) in [(10, "0a"), (1337, "1f9a0a")] {
        let mut out = Vec::new();
        integer::write(0, 5, value, &mut out);
        assert_eq!(out, bytes(hex));
        let mut rest = &out[1..];
        assert_eq!(integer::read(out[0], 5, &mut rest), Ok(value));
        assert!(rest.is_empty());
    }
    for value in [0, 1, 30, 31, 32, 158, 159, 1 << 20, u32::MAX as usize] {
        for bits in 4..=7 {
            let mut out = Vec::new();
            integer::write(0x80, bits, value, &mut out);
            assert_eq!(integer::read(out[0], bits, &mut &out[1..]), Ok(value));
        }
    }
}

#[test]
fn integers_beyond_the_bound() {
    let read = |hex: &str| integer::read(0x7f, 7, &mut &bytes(hex)[..]);
    assert_eq!(read("80ffffff0f"), Ok(u32::MAX as usize));
    assert_eq!(read("81ffffff0f"), Err(Error::Integer));
    assert_eq!(read("8080808000"), Ok(127));
    assert_eq!(read("808080808000"), Err(Error::Integer));
    assert_eq!(read("ffffffff7f"), Err(Error::Integer));
    assert_eq!(read("8080"), Err(Error::Truncated));
    assert_eq!(read(""), Err(Error::Truncated));
}

/// C.2.
#[test]
fn representations() {
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    let path = "040c 2f73 616d 706c 652f 7061 7468";
    let password = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, path).unwrap(), [":path: /sample/path"]);
    assert_eq!(decode(&mut decoder, password).unwrap(), ["password: secret"]);
    assert_eq!(decode(&mut decoder, "82").unwrap(), [":method: GET"]);
    assert_eq!((decoder.size(), decoder.memory()), (0, 0));
    assert_eq!(decode(&mut decoder, custom).unwrap(), ["custom-key: custom-header"]);
    assert_eq!(decoder.size(), 55);
    assert_eq!(representation(custom), (Representation::Incremental, true));
    assert_eq!(representation(path), (Representation::Without, false));
    assert_eq!(representation(password), (Representation::Never, false));
    assert_eq!(representation("82"), (Representation::Indexed, false));
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

/// C.3.
#[test]
fn requests_without_huffman() {
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let mut decoder = Decoder::new();
    for ((block, fields), size) in blocks.into_iter().zip(REQUESTS).zip([57, 110, 164]) {
        assert_eq!(decode(&mut decoder, block).unwrap(), fields);
        assert_eq!(decoder.size(), size);
    }
}

/// C.4, both ways.
#[test]
fn requests_with_huffman() {
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new(4096));
    encoder.encode([].into_iter(), &mut Vec::new());
    for ((block, expected), size) in blocks.into_iter().zip(REQUESTS).zip([57, 110, 164]) {
        let mut fields = FieldList::new();
        decoder.clone().decode(&bytes(block), usize::MAX, &mut fields).unwrap();
        assert_eq!(decode(&mut decoder, block).unwrap(), expected);
        assert_eq!(decoder.size(), size);
        let mut out = Vec::new();
        encoder.encode(fields.iter(), &mut out);
        assert_eq!(out, bytes(block));
    }
}

const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

const RESPONSES: [&[&str]; 3] = [
    &[
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 307",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        COOKIE,
    ],
];

/// A decoder whose table has 256 bytes, as C.5 and C.6 assume.
fn small() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.allow(256);
    let mut update = Vec::new();
    size_update(256, &mut update);
    decoder.decode(&update, 0, &mut FieldList::new()).unwrap();
    assert_eq!(decoder.size_limit(), 256);
    decoder
}

/// C.5.
#[test]
fn responses_without_huffman() {
    let blocks = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ];
    let mut decoder = small();
    for ((block, fields), size) in blocks.into_iter().zip(RESPONSES).zip([222, 222, 215]) {
        assert_eq!(decode(&mut decoder, block).unwrap(), fields);
        assert_eq!(decoder.size(), size);
    }
}

/// C.6.
#[test]
fn responses_with_huffman() {
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let mut decoder = small();
    for ((block, fields), size) in blocks.into_iter().zip(RESPONSES).zip([222, 222, 215]) {
        assert_eq!(decode(&mut decoder, block).unwrap(), fields);
        assert_eq!(decoder.size(), size);
    }
}

#[test]
fn every_byte_through_huffman() {
    let all: Vec<u8> = (0..=255).collect();
    let singles = all.chunks(1);
    for part in singles.chain(all.chunks(7)).chain([&all[..]]) {
        let mut coded = Vec::new();
        huffman::encode(part, &mut coded);
        assert_eq!(coded.len(), huffman::encoded_len(part));
        let mut out = b"before".to_vec();
        huffman::decode(&coded, &mut out).unwrap();
        assert_eq!(&out[6..], part);
    }
}

#[test]
fn bad_huffman() {
    // `0` is 00000.
    for good in ["07", ""] {
        assert_eq!(huffman::decode(&bytes(good), &mut Vec::new()), Ok(()));
    }
    let bad = [
        ("ff", "eight bits of padding"),
        ("07ff", "eleven bits of padding"),
        ("00", "padding of zeros"),
        ("06", "padding that is not all ones"),
        ("3fffffff", "EOS inside"),
        ("ffffffff", "EOS"),
        ("fffffffc", "EOS and a symbol"),
        ("0000000000ffffffff0000000000", "EOS in the middle"),
    ];
    for (hex, what) in bad {
        assert_eq!(huffman::decode(&bytes(hex), &mut Vec::new()), Err(Error::Huffman), "{what}");
    }
}

#[test]
fn refused() {
    let cases = [
        ("80", Error::Index),
        ("be", Error::Index),
        ("ff00", Error::Index),
        ("7e00", Error::Index),
        ("0f3000", Error::Index),
        ("40", Error::Truncated),
        ("4001", Error::Truncated),
        ("400161", Error::Truncated),
        ("40016105", Error::Truncated),
        ("0085", Error::Truncated),
        ("ff", Error::Truncated),
        ("3fe21f", Error::SizeTooLarge),
        ("20203f", Error::SizeMisplaced),
        ("8220", Error::SizeMisplaced),
        ("ffffffffff0f", Error::Integer),
        ("ff808080808001", Error::Integer),
        ("000161 81ff", Error::Huffman),
    ];
    for (hex, error) in cases {
        assert_eq!(decode(&mut Decoder::new(), hex), Err(error), "{hex}");
    }
}

#[test]
fn size_updates() {
    let mut decoder = Decoder::new();
    let mut fields = FieldList::new();
    let decoded = decoder.decode(&bytes("20 3fe11f 82"), 100, &mut fields).unwrap();
    assert_eq!(decoded.update, Some(SizeUpdate { least: 0, last: 4096 }));
    assert!(decoded.changed);
    // A larger table is allowed, not required; a smaller one is required.
    decoder.allow(8192);
    assert!(decode(&mut decoder, "82").is_ok());
    decoder.allow(100);
    decoder.allow(200);
    assert_eq!(decode(&mut decoder.clone(), "82"), Err(Error::SizeMissing));
    assert_eq!(decode(&mut decoder.clone(), "3f8901"), Err(Error::SizeTooLarge), "168 at once");
    let decoded = decoder.decode(&bytes("3f45 3f8901 82"), 100, &mut fields).unwrap();
    assert_eq!(decoded.update, Some(SizeUpdate { least: 100, last: 168 }));
    assert!(decode(&mut decoder, "82").is_ok());
}

#[test]
fn a_list_over_its_limit_keeps_the_table_right() {
    let mut decoder = Decoder::new();
    let mut fields = FieldList::new();
    // `:method: GET`, `a: b` into the table, `:method: GET`.
    let decoded = decoder.decode(&bytes("82 40016101 62 82"), 42, &mut fields).unwrap();
    assert_eq!((fields.len(), decoded.list_size), (1, 42 + 34 + 42));
    assert_eq!(decode(&mut decoder, "be").unwrap(), ["a: b"]);
}

/// A decoder whose table of `size` has an entry with a name of `name` bytes, and no value.
fn with_a_name(size: usize, name: usize) -> Decoder {
    let mut decoder = Decoder::new();
    decoder.allow(size);
    let mut block = Vec::new();
    size_update(size, &mut block);
    block.push(0x40);
    integer::write(0, 7, name, &mut block);
    block.extend((0..name).map(|at| b'a' + u8::try_from(at % 26).unwrap()));
    block.push(0);
    decoder.decode(&block, usize::MAX, &mut FieldList::new()).unwrap();
    decoder
}

#[test]
fn a_list_that_is_too_long_by_far() {
    // The name again without a value, inserted or not, and the whole entry.
    for field in ["7e00", "0f2f00", "be"] {
        let block = bytes(&field.repeat(40));
        let (decoder, mut fields) = (with_a_name(4096, 4000), FieldList::new());
        let size = 40 * (4000 + FIELD_OVERHEAD);
        let enough = (size - 4096).div_ceil(AMPLIFICATION);
        let mut decode = |most| decoder.clone().decode(&block, most, &mut fields);
        assert_eq!(decode(enough).map(|decoded| decoded.list_size), Ok(size as u64), "{field}");
        assert_eq!(decode(enough - 1), Err(Error::ListTooLong), "{field}");
        assert_eq!(decode(0), Err(Error::ListTooLong), "{field}");
        assert!(fields.is_empty());
    }
}

#[test]
fn a_block_may_spell_out_a_long_list() {
    let mut block = bytes("0001 61");
    integer::write(0, 7, 100_000, &mut block);
    block.extend(b"x".repeat(100_000));
    let decoded = Decoder::new().decode(&block, 10, &mut FieldList::new()).unwrap();
    assert_eq!(decoded.list_size, 100_033);
}

#[test]
fn beyond_the_limit_the_table_is_the_same() {
    // Of an entry that goes for it, and of one that stays.
    for name in [4000, 1500, 600, 7] {
        let mut whole = with_a_name(4096, name);
        let mut cut = whole.clone();
        let (mut fields, mut rest) = (FieldList::new(), FieldList::new());
        for at in 0..100u8 {
            let block = [&b"\x82\x7e\x02"[..], &[b'0' + at / 10, b'0' + at % 10]].concat();
            whole.decode(&block, usize::MAX, &mut fields).unwrap();
            cut.decode(&block, 0, &mut rest).unwrap();
            assert_eq!(cut.size(), whole.size());
            assert!(cut.memory() <= 3 * 4096 + 320, "{}", cut.memory());
            let newest = bytes("be");
            whole.clone().decode(&newest, usize::MAX, &mut fields).unwrap();
            cut.clone().decode(&newest, usize::MAX, &mut rest).unwrap();
            assert!(fields.iter().eq(rest.iter()), "{name} {at}");
        }
    }
    // One that is too large for the table empties it here too.
    let mut cut = with_a_name(4096, 4000);
    let block = [&bytes("82 7e 45")[..], &[b'x'; 0x45]].concat();
    cut.decode(&block, 0, &mut FieldList::new()).unwrap();
    assert_eq!(cut.size(), 0);
}

#[test]
fn a_name_may_come_from_the_entry_that_it_evicts() {
    let mut decoder = Decoder::new();
    decoder.allow(40);
    // A table of 40 bytes: `name: v` fills it; then its name with another value.
    assert_eq!(
        decode(&mut decoder, "3f09 40046e616d650176 7e0177").unwrap(),
        ["name: v", "name: w"]
    );
    assert_eq!(decode(&mut decoder, "be").unwrap(), ["name: w"]);
    // An entry too large for the table empties it.
    assert_eq!(decode(&mut decoder, "7e 05 7777777777").unwrap(), ["name: wwwww"]);
    assert_eq!(decode(&mut decoder, "be"), Err(Error::Index));
}

proptest::proptest! {
    /// Nothing decodes to a string but that string's own code: padding and EOS are strict.
    #[test]
    fn huffman_is_a_bijection(text: Vec<u8>, any: Vec<u8>, flip: usize) {
        let mut coded = Vec::new();
        huffman::encode(&text, &mut coded);
        let mut flipped = coded.clone();
        if let Some(at) = flip.checked_rem(coded.len() * 8) {
            flipped[at / 8] ^= 1 << (at % 8);
        }
        for bytes in [&coded, &flipped, &any] {
            let (mut out, mut again) = (Vec::new(), Vec::new());
            if huffman::decode(bytes, &mut out).is_ok() {
                huffman::encode(&out, &mut again);
                proptest::prop_assert_eq!(&again, bytes);
            }
        }
        let mut out = Vec::new();
        proptest::prop_assert_eq!(huffman::decode(&coded, &mut out), Ok(()));
        proptest::prop_assert_eq!(out, text);
    }
}
