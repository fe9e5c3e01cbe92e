//! What the intruder asks by HTTP/2: of the stock calls that no customer causes and what only looks
//! like one, and of the cart service what it would not be allowed by HTTP/1 either.

use weir_parsers::http2::{FrameKind, PREFACE, flag};

use super::attacks::{Attack, Target, Way, Who, trace};
use super::shop::Workload;
use super::shop::grpc::proto::Message;
use super::shop::grpc::{fields, frame, message};
use super::shop::stock::{REFLECTION, RESERVE, RESET};

const GRPC: &str = "application/grpc";

/// What is not allowed by HTTP/1 is not allowed by HTTP/2 either.
pub(super) fn by_http2(list: &[Attack], run: &str) -> Attack {
    let trace = trace(list, run);
    let mut bytes = beginning();
    let path = format!("/carts/1?t={trace}");
    let known = [(":method", "DELETE"), (":scheme", "http"), (":authority", "cart")];
    let mut head = Vec::new();
    fields(&known, &mut head);
    head.extend(literal(":path", &path));
    let flags = flag::END_HEADERS | flag::END_STREAM;
    frame(FrameKind::Headers, flags, 1, &head, &mut bytes);
    Attack {
        who: Who::Application(Workload::Frontend),
        target: Target::Service(Workload::Cart),
        way: Way::Usual,
        guard: Some(Workload::Cart),
        kind: "a forbidden method by HTTP/2",
        words: "DELETE /carts/1".to_owned(),
        bytes,
        trace,
        allowed: 0,
    }
}

/// Adds them to the attacks.
pub(super) fn add(list: &mut Vec<Attack>, run: &str) {
    let reset = format!("/{RESET}");
    let simple = |path: &str, content_type: &'static str| {
        let path = path.to_owned();
        move |trace: &str| {
            let mut out = beginning();
            request(1, &path, content_type, trace, &mut out);
            out
        }
    };
    let listing = |trace: &str| {
        let mut out = beginning();
        block(1, &format!("/{REFLECTION}"), GRPC, &agent(trace), &mut out);
        // ServerReflectionRequest: the host, and list_services.
        let content = Message::default().text(1, trace).text(7, "*");
        message(1, content.as_ref(), true, &mut out);
        out
    };
    add_one(list, run, "a look around", REFLECTION, 0, listing);
    add_one(list, run, "an admin's method", RESET, 0, simple(&reset, GRPC));
    let unknown = "shop.Stock/Export";
    add_one(list, run, "a guess", unknown, 0, simple(&format!("/{unknown}"), GRPC));
    let words = format!("{RESET} between two allowed {RESERVE} on one connection");
    add_one(list, run, "one call among others", &words, 2, |trace| among_others(&reset, trace));
    let detour = format!("/{RESERVE}/../Reset");
    let words = format!("POST {detour}");
    add_one(list, run, "a detour in the path", &words, 0, simple(&detour, GRPC));
    let words = format!("POST {reset} as application/json");
    add_one(list, run, "a call in disguise", &words, 0, simple(&reset, "application/json"));
    let words = format!("GET {reset} by HTTP/1.1");
    add_one(list, run, "HTTP/1 where gRPC is", &words, 0, |trace| {
        format!("GET {reset}?t={trace} HTTP/1.1\r\nHost: stock\r\n\r\n").into_bytes()
    });
}

fn add_one(
    list: &mut Vec<Attack>,
    run: &str,
    kind: &'static str,
    words: &str,
    allowed: usize,
    write: impl FnOnce(&str) -> Vec<u8>,
) {
    let trace = trace(list, run);
    list.push(Attack {
        who: Who::Application(Workload::Frontend),
        target: Target::Service(Workload::Stock),
        way: Way::Usual,
        guard: Some(Workload::Stock),
        kind,
        words: words.to_owned(),
        bytes: write(&trace),
        trace,
        allowed,
    });
}

/// A call of the administrators' method, by gRPC.
pub(super) fn reset(trace: &str) -> Vec<u8> {
    let mut out = beginning();
    request(1, &format!("/{RESET}"), GRPC, trace, &mut out);
    out
}

/// Two calls as customers cause them, with another one between them. The field of each that says
/// who calls enters the table of the connection, and the last call refers to the first one's: who
/// takes the middle one away must see to it that the numbers stay right.
fn among_others(path: &str, trace: &str) -> Vec<u8> {
    let mut out = beginning();
    let (reserve, wanted) = (format!("/{RESERVE}"), Message::default().number(1, 3).number(2, 1));
    block(1, &reserve, GRPC, &literal("user-agent", "a customer's"), &mut out);
    message(1, wanted.as_ref(), true, &mut out);
    request(3, path, GRPC, trace, &mut out);
    // 62 is the newest entry, 63 the one before. (RFC 7541 §2.3.3)
    block(5, &reserve, GRPC, &[0x80 | 63], &mut out);
    message(5, wanted.as_ref(), true, &mut out);
    out
}

/// What a client's connection begins with.
fn beginning() -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    frame(FrameKind::Settings, 0, 0, &[], &mut out);
    out
}

/// A request with the trace in its head and in its content.
fn request(stream: u32, path: &str, content_type: &str, trace: &str, out: &mut Vec<u8>) {
    block(stream, path, content_type, &agent(trace), out);
    message(stream, Message::default().text(15, trace).as_ref(), true, out);
}

/// A head that ends with this field.
fn block(stream: u32, path: &str, content_type: &str, last: &[u8], out: &mut Vec<u8>) {
    let mut head = Vec::new();
    let known = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "stock"),
        (":path", path),
        ("content-type", content_type),
        ("te", "trailers"),
    ];
    fields(&known, &mut head);
    head.extend_from_slice(last);
    frame(FrameKind::Headers, flag::END_HEADERS, stream, &head, out);
}

fn agent(trace: &str) -> Vec<u8> {
    literal("user-agent", trace)
}

/// A field that enters the table, letter by letter, so that it can be found. (RFC 7541 §6.2.1;
/// lengths below 127 have one byte.)
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x40];
    for text in [name, value] {
        out.push(u8::try_from(text.len()).unwrap_or(0x7e).min(0x7e));
        out.extend(text.bytes().take(0x7e));
    }
    out
}
