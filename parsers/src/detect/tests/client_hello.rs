use super::*;
use crate::detect::tls::{ClientHello, HelloScan, Reason, client_hello};

fn vector8(data: &[u8]) -> Vec<u8> {
    [&[u8::try_from(data.len()).unwrap()], data].concat()
}

fn vector16(data: &[u8]) -> Vec<u8> {
    [&u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector16(data)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector16(&[&[0], vector16(name).as_slice()].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    extension(16, &vector16(&names.iter().flat_map(|name| vector8(name)).collect::<Vec<_>>()))
}

/// A handshake message with these extensions.
fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        [3, 3].as_slice(),
        &[7; 32],
        &vector8(&[9; 32]),
        &vector16(&[0x13, 1, 0x13, 2]),
        &vector8(&[0]),
        &vector16(&extensions.concat()),
    ]
    .concat();
    message(&body)
}

fn message(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &len[1..], body].concat()
}

/// The message in records of at most `size` bytes.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[22, 3, 1], vector16(part).as_slice()].concat())
        .collect()
}

pub(super) fn sample() -> Vec<u8> {
    hello(&[sni(b"api.shop.example"), alpn(&[b"h2", b"http/1.1"]), extension(0xff01, &[0])])
}

fn read(extensions: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Reason> {
    let records = records(&hello(extensions), 1 << 14);
    let hello =
        client_hello(&records, &mut Vec::new()).map(|hello| hello.server_name.map(<[u8]>::to_vec));
    assert_eq!(detect(&[client(&records)]), Detection::Tls(records.len()));
    hello
}

#[test]
fn a_hello_in_any_records_says_the_same() {
    let message = sample();
    for size in [1, 2, 3, 4, 5, 17, 100, 1 << 14] {
        let records = records(&message, size);
        assert_eq!(detect(&[client(&records)]), Detection::Tls(records.len()), "{size}");
        let mut scratch = Vec::new();
        let hello = client_hello(&records, &mut scratch).unwrap();
        assert_eq!(hello.server_name, Some(&b"api.shop.example"[..]));
        assert_eq!(hello.alpn.unwrap().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert!(!hello.ech);
    }
}

#[test]
fn a_hello_in_one_record_is_read_in_place() {
    let records = records(&sample(), 1 << 14);
    let mut scratch = Vec::new();
    client_hello(&records, &mut scratch).unwrap();
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn every_truncation_is_undecided() {
    for size in [3, 1 << 14] {
        let records = records(&sample(), size);
        for n in 0..records.len() {
            assert_eq!(detect(&[client(&records[..n])]), MORE, "{n}");
            assert!(client_hello(&records[..n], &mut Vec::new()).is_err());
        }
    }
}

#[test]
fn a_hello_past_one_records_size_is_read() {
    let message = hello(&[extension(51, &vec![0; 20_000]), sni(b"big.example")]);
    assert!(message.len() > 1 << 14);
    let records = records(&message, 1 << 14);
    assert_eq!(feed(&[client(&records)], 1 << 15, true, || 1000).0, Detection::Tls(records.len()));
    let mut scratch = Vec::new();
    let hello = client_hello(&records, &mut scratch).unwrap();
    assert_eq!(hello.server_name, Some(&b"big.example"[..]));
    assert_eq!(
        feed(&[client(&records)], 1 << 14, true, || 1000).0,
        Detection::Unknown(Unknown::Budget)
    );
}

#[test]
fn none_and_encrypted_are_values() {
    assert_eq!(read(&[]), Ok(None));
    let none = ClientHello { server_name: None, alpn: None, ech: false };
    let bare = message(&[[3, 3].as_slice(), &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat());
    assert_eq!(client_hello(&records(&bare, 1 << 14), &mut Vec::new()), Ok(none));
    let ech = records(&hello(&[sni(b"outer.example"), extension(0xfe0d, &[0; 40])]), 1 << 14);
    assert!(client_hello(&ech, &mut Vec::new()).unwrap().ech);
}

#[test]
fn ambiguous_names_are_refused() {
    let two = [0, 0, 1, b'a', 0, 0, 1, b'b'];
    let cases = [
        (sni(b"a\0b"), Reason::Name),
        (sni(b""), Reason::Name),
        (sni(b"a..b"), Reason::Name),
        (sni(b"a.b."), Reason::Name),
        (sni(b".a"), Reason::Name),
        (sni(b"a b"), Reason::Name),
        (sni("\u{fc}.example".as_bytes()), Reason::Name),
        (sni(&[b'a'; 64]), Reason::Name),
        (sni(&b"a.".repeat(127)), Reason::Name),
        (extension(0, &vector16(&two)), Reason::Names),
        (extension(0, &vector16(&[1, 0, 1, b'a'])), Reason::Names),
        (extension(0, &vector16(&[])), Reason::Length),
        (extension(0, &[0, 9, 0, 0, 1, b'a']), Reason::Length),
        (extension(0, &[0, 4, 0, 0, 1, b'a', 0]), Reason::Length),
        (alpn(&[]), Reason::Alpn),
        (alpn(&[b"h2", b""]), Reason::Alpn),
        (extension(16, &[0, 2, 5, b'a']), Reason::Length),
    ];
    for (extension, reason) in cases {
        assert_eq!(read(std::slice::from_ref(&extension)), Err(reason), "{extension:?}");
    }
    assert_eq!(read(&[sni(b"a"), sni(b"a")]), Err(Reason::Duplicate));
    assert_eq!(read(&[alpn(&[b"h2"]), alpn(&[b"h2"])]), Err(Reason::Duplicate));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let good = sample();
    for at in [4 + 34, 4 + 34 + 33, 4 + 34 + 33 + 1, 4 + 34 + 33 + 6] {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        let records = records(&bad, 1 << 14);
        assert_eq!(client_hello(&records, &mut Vec::new()), Err(Reason::Length), "{at}");
    }
}

#[test]
fn records_are_held_to_their_rules() {
    let good = sample();
    let whole = records(&good, 1 << 14);
    let with = |at: usize, byte: u8| {
        let mut records = records(&good, 40);
        records[at] = byte;
        records
    };
    for (records, reason) in [
        (b"\x16\x03\x01\x00\x00".to_vec(), Reason::Record),
        (b"\x16\x03\x01\x40\x01".to_vec(), Reason::Record),
        (with(45, 23), Reason::Record),
        (with(5, 2), Reason::NotHello),
        (records(&[&good[..], b"\x01"].concat(), 1 << 14), Reason::Trailing),
    ] {
        let unknown = Detection::Unknown(Unknown::Tls(reason));
        assert_eq!(detect(&[client(&records)]), unknown, "{reason:?}");
    }
    for (at, byte) in [(1, 2), (2, 9), (46, 4)] {
        assert_eq!(detect(&[client(&with(at, byte))]), UNRECOGNISED);
    }
    let mut scan = HelloScan::default();
    assert_eq!(scan.find(&[&whole[..], b"\x17\x03\x03"].concat()), Ok(Some(whole.len())));
}

#[test]
fn a_real_hello_is_read() {
    // What curl 8 over OpenSSL 3 sends for https://cart.shop.example/.
    let records = include_bytes!("curl.hello");
    assert_eq!(detect(&[client(records)]), Detection::Tls(records.len()));
    let mut scratch = Vec::new();
    let hello = client_hello(records, &mut scratch).unwrap();
    assert_eq!(hello.server_name, Some(&b"cart.shop.example"[..]));
    assert_eq!(hello.alpn.unwrap().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
}
