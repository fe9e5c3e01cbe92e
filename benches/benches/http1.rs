//! What reading HTTP/1.1 costs: heads of two sizes, responses, chunked bodies.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use weir_parsers::http1::{
    Body, BodyLength, BodyPart, HeadKind, HeadScan, RequestKind, request, response,
};

const LIMIT: usize = 64 * 1024;

const SERVICE_REQUEST: &[u8] = b"GET /carts/7 HTTP/1.1\r\nHost: cart.shop\r\n\
    User-Agent: side-by-side/1\r\nAccept: */*\r\n\r\n";

const BROWSER_REQUEST: &[u8] =
    b"GET /carts/7/items?page=2&sort=price HTTP/1.1\r\nHost: shop.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\nReferer: https://shop.example.com/carts/7\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Mon, 23 Nov 2026 20:00:00 GMT\r\nContent-Type: application/octet-stream\r\n\
    Content-Length: 1024\r\nLast-Modified: Mon, 23 Nov 2026 19:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6742f0a0-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    heads(&mut criterion);
    bodies(&mut criterion);
    criterion.final_summary();
}

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1");
    for (name, head) in [("request/service", SERVICE_REQUEST), ("request/browser", BROWSER_REQUEST)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let head = black_box(head);
                let length = HeadScan::default().find(head, HeadKind::Request, LIMIT);
                black_box(request(&head[..whole(length)]).is_ok())
            });
        });
    }
    group.bench_function("response", |bencher| {
        bencher.iter(|| {
            let head = black_box(RESPONSE);
            let length = HeadScan::default().find(head, HeadKind::Response, LIMIT);
            black_box(response(&head[..whole(length)], RequestKind::Normal).is_ok())
        });
    });
    group.finish();
}

/// The length that a scan found; a benchmark of a refusal would measure the wrong thing.
fn whole<E>(found: Result<Option<usize>, E>) -> usize {
    let Ok(Some(length)) = found else { unreachable!("the head is whole") };
    length
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1/body");
    for chunk in [64, 4096] {
        let body = chunked(chunk, 64 * 1024);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("chunks of {chunk}"), |bencher| {
            bencher.iter(|| black_box(content(black_box(&body))));
        });
    }
    group.finish();
}

fn chunked(chunk: usize, total: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..total / chunk {
        body.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        body.resize(body.len() + chunk, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Reads a chunked body to its end; the bytes of content in it.
fn content(mut rest: &[u8]) -> usize {
    let mut body = Body::from(BodyLength::Chunked);
    let mut total = 0;
    loop {
        let taken = match body.next(rest, LIMIT) {
            Ok(BodyPart::Data(length)) => {
                total += length;
                length
            }
            Ok(BodyPart::Framing(length)) => length,
            Ok(BodyPart::Trailers { len, .. }) => len,
            Ok(BodyPart::End) => return total,
            Ok(BodyPart::Partial) | Err(_) => unreachable!("the body is whole"),
        };
        rest = &rest[taken..];
    }
}
