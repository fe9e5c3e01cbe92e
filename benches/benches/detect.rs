//! What telling protocols apart costs: once a connection, so it need not be the fastest.

use std::hint::black_box;

use criterion::Criterion;
use weir_parsers::detect::{ClientBytes, Detection, Detector, tls};

const BUDGET: usize = 32 * 1024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let hello = client_hello("cart.shop.example.com", &["h2", "http/1.1"]);
    let proxied = b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n".to_vec();
    let mut group = criterion.benchmark_group("detect");
    for (name, bytes) in [
        ("http", b"GET /carts/7 HTTP/1.1\r\nHost: cart.shop\r\n\r\n".to_vec()),
        ("redis", b"*2\r\n$3\r\nGET\r\n$6\r\ncart:7\r\n".to_vec()),
        ("tls", hello.clone()),
        ("proxy header", proxied),
        ("unknown", b"\x00\x01\x02\x03garbage".to_vec()),
    ] {
        assert!(!matches!(look(&bytes), Detection::More { .. }), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| look(black_box(&bytes))));
    }
    let mut scratch = Vec::new();
    group.bench_function("tls names", |bencher| {
        bencher.iter(|| {
            let hello = tls::client_hello(black_box(&hello), &mut scratch);
            black_box(hello.is_ok_and(|hello| hello.server_name.is_some()))
        });
    });
    group.finish();
    criterion.final_summary();
}

fn look(data: &[u8]) -> Detection {
    Detector::new(BUDGET, false).client(ClientBytes { data, eof: false, passed: true })
}

/// A TLS 1.3 ClientHello in one record, with a server name and protocols (RFC 8446 §4.1.2).
fn client_hello(name: &str, protocols: &[&str]) -> Vec<u8> {
    let host = [&[0][..], &vector(2, name.as_bytes())].concat();
    let names = vector(2, &host);
    let alpn: Vec<u8> = protocols.iter().flat_map(|name| vector(1, name.as_bytes())).collect();
    let extensions: Vec<u8> = [
        extension(0, &names),
        extension(16, &vector(2, &alpn)),
        extension(43, &vector(1, &[3, 4])),
        // A key share of X25519, as most clients send it.
        extension(51, &vector(2, &[&[0, 29][..], &vector(2, &[7; 32])].concat())),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[9; 32],
        &vector(1, &[1; 32]),
        &vector(2, &[0x13, 1, 0x13, 2, 0x13, 3]),
        &vector(1, &[0]),
        &vector(2, &extensions),
    ]
    .concat();
    let message = [&[1][..], &vector(3, &body)].concat();
    [&[22, 3, 1][..], &vector(2, &message)].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, data)].concat()
}

/// `data` behind its length in `width` bytes.
fn vector(width: usize, data: &[u8]) -> Vec<u8> {
    let length = data.len().to_be_bytes();
    [&length[length.len() - width..], data].concat()
}
