//! The stock: says where things are, puts them aside, and speaks gRPC.
//!
//! Careless on purpose: it takes the last word of a path for the method, whatever is before it
//! and whatever the content is said to be, lists its services to anybody who asks, and trusts
//! whoever calls.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;

use super::catalogue::find;
use super::grpc::proto::{Message, number};
use super::grpc::{Connection, Event, head, message};
use super::listen::each_connection;
use super::recorder::{Recorded, Recorder};

/// A client that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest content of a call, and most calls under way on a connection.
const LIMIT: usize = 64 << 10;
const CALLS: usize = 100;

/// Where things are.
pub(in crate::demo) const PLACES: [&str; 3] = ["north", "south", "harbour"];
/// How much of each thing is at each place.
const MUCH: u64 = 1_000_000;

/// The methods that the shop calls.
pub(in crate::demo) const CHECK: &str = "grpc.health.v1.Health/Check";
pub(in crate::demo) const RESERVE: &str = "shop.Stock/Reserve";
pub(in crate::demo) const WATCH: &str = "shop.Stock/Watch";
/// Those that it has for its administrators, and for those who develop it.
pub(in crate::demo) const RESET: &str = "shop.Stock/Reset";
pub(in crate::demo) const REFLECTION: &str =
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;

/// How much of each product is put aside.
type Reserved = BTreeMap<u64, u64>;

/// A call as far as it has come.
#[derive(Default)]
struct Call {
    path: String,
    agent: String,
    content: Vec<u8>,
}

/// Serves the stock until it is dropped.
pub(super) async fn serve(listener: TcpListener, recorder: Recorder) {
    let reserved = Arc::new(Mutex::new(Reserved::new()));
    each_connection(listener, |stream| {
        let stream = recorder.listen(stream);
        let (notes, reserved) = (recorder.clone(), Arc::clone(&reserved));
        async move {
            // An error here is a client that broke off or spoke nonsense: the client's trouble.
            let _ = converse(stream, &notes, &reserved).await;
        }
    })
    .await;
}

async fn converse(
    stream: Recorded,
    notes: &Recorder,
    reserved: &Mutex<Reserved>,
) -> io::Result<()> {
    let mut connection = Connection::accept(stream, PATIENCE).await?;
    let mut calls = BTreeMap::<u32, Call>::new();
    while let Some(event) = connection.next().await? {
        let (stream, end) = match event {
            Event::Fields { stream, fields, end } => {
                let call = calls.entry(stream).or_default();
                for (name, value) in fields {
                    match name.as_str() {
                        ":path" => call.path = value,
                        "user-agent" => call.agent = value,
                        _ => {}
                    }
                }
                (stream, end)
            }
            Event::Data { stream, bytes, end, .. } => {
                let Some(call) = calls.get_mut(&stream) else { continue };
                call.content.extend(bytes);
                (stream, end)
            }
            Event::Reset { stream } => {
                calls.remove(&stream);
                continue;
            }
            _ => continue,
        };
        let long = calls.get(&stream).is_some_and(|call| call.content.len() > LIMIT);
        if long || calls.len() > CALLS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if end && let Some(call) = calls.remove(&stream) {
            notes.operation(format!("{} by {}", call.path.trim_start_matches('/'), call.agent));
            let (status, messages) = {
                let mut reserved = reserved.lock().unwrap_or_else(PoisonError::into_inner);
                execute(&mut reserved, &call)
            };
            answer(stream, status, &messages, &mut connection.out);
        }
    }
    connection.flush().await
}

fn answer(stream: u32, status: u32, messages: &[Message], out: &mut Vec<u8>) {
    let fields = [(":status", "200"), ("content-type", "application/grpc")];
    head(stream, &fields, false, out);
    for one in messages {
        message(stream, one.as_ref(), false, out);
    }
    head(stream, &[("grpc-status", &status.to_string())], true, out);
}

fn execute(reserved: &mut Reserved, call: &Call) -> (u32, Vec<Message>) {
    // The message's prefix says nothing that matters here.
    let content = call.content.get(5..).unwrap_or_default();
    match call.path.rsplit('/').next() {
        Some("Check") => (OK, vec![Message::default().number(1, 1)]),
        Some("Reserve") => reserve(reserved, content),
        Some("Watch") => watch(reserved, content),
        // From here on, what an intruder would like.
        Some("Reset") => {
            reserved.clear();
            (OK, vec![Message::default()])
        }
        Some("ServerReflectionInfo") => (OK, vec![services()]),
        _ => (UNIMPLEMENTED, Vec::new()),
    }
}

fn reserve(reserved: &mut Reserved, content: &[u8]) -> (u32, Vec<Message>) {
    let (product, quantity) = (number(content, 1), number(content, 2));
    let Some((product, quantity)) = product.and_then(find).zip(quantity) else {
        return (INVALID_ARGUMENT, Vec::new());
    };
    let aside = reserved.entry(product.id).or_insert(0);
    match aside.checked_add(quantity).filter(|sum| *sum <= MUCH) {
        Some(sum) => {
            *aside = sum;
            (OK, vec![Message::default().number(1, quantity)])
        }
        None => (RESOURCE_EXHAUSTED, Vec::new()),
    }
}

/// One message for each place where the product is: the place, and how much is there.
fn watch(reserved: &Reserved, content: &[u8]) -> (u32, Vec<Message>) {
    let Some(product) = number(content, 1).and_then(find) else {
        return (INVALID_ARGUMENT, Vec::new());
    };
    // What is put aside is taken from the first.
    let aside = reserved.get(&product.id).copied().unwrap_or_default();
    let left = [MUCH - aside.min(MUCH), MUCH, MUCH];
    let there = PLACES.iter().zip(left).filter(|(_, left)| *left > 0);
    let place = |(place, left): (&&str, u64)| Message::default().text(1, place).number(2, left);
    (OK, there.map(place).collect())
}

/// Every service by name. (ServerReflectionResponse, list_services_response)
fn services() -> Message {
    let names = [CHECK, RESERVE, REFLECTION].map(|method| method.split('/').next());
    let list = names
        .into_iter()
        .flatten()
        .fold(Message::default(), |list, name| list.text(1, Message::default().text(1, name)));
    Message::default().text(6, list)
}

#[cfg(test)]
mod tests {
    use weir_parsers::http2::{FrameKind, PREFACE, flag};

    use super::super::grpc::{fields, frame, message, proto, replies};
    use super::*;

    fn ask(reserved: &mut Reserved, path: &str, content: Message) -> (u32, Vec<Message>) {
        let content = [&[0; 5], content.as_ref()].concat();
        execute(reserved, &Call { path: path.to_owned(), content, ..Call::default() })
    }

    #[test]
    fn what_an_intruder_asks_is_done_where_nobody_stops_it() {
        let mut reserved = Reserved::new();
        let two = Message::default().number(1, 3).number(2, 2);
        assert_eq!(ask(&mut reserved, "/shop.Stock/Reserve", two).0, OK);
        assert_eq!(reserved.get(&3), Some(&2));
        let (_, places) = ask(&mut reserved, "/shop.Stock/Watch", Message::default().number(1, 3));
        let places: Vec<_> = places.iter().map(|place| proto::text(place.as_ref(), 1)).collect();
        assert_eq!(places, PLACES.map(|place| Some(place.to_owned())));
        let detour = "/shop.Stock/Reserve/../Reset";
        assert_eq!(ask(&mut reserved, detour, Message::default()).0, OK);
        assert_eq!(reserved, Reserved::new());
        let (_, listed) = ask(&mut reserved, REFLECTION, Message::default());
        assert!(String::from_utf8_lossy(listed[0].as_ref()).contains("shop.Stock"));
        assert_eq!(ask(&mut reserved, "/shop.Stock/Export", Message::default()).0, UNIMPLEMENTED);
    }

    #[test]
    fn nothing_is_put_aside_that_is_not_there() {
        let mut reserved = Reserved::new();
        for (product, quantity, status) in [(9, 1, 3), (1, MUCH + 1, 8), (1, MUCH, 0), (1, 1, 8)] {
            let content = Message::default().number(1, product).number(2, quantity);
            assert_eq!(ask(&mut reserved, RESERVE, content).0, status);
        }
        let (_, places) = ask(&mut reserved, WATCH, Message::default().number(1, 1));
        assert_eq!(places.len(), PLACES.len() - 1);
    }

    /// Calls that are under way at once on a connection, by a client that cuts as it likes.
    #[tokio::test]
    async fn calls_share_a_connection() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener, Recorder::default()));
        let mut bytes = PREFACE.to_vec();
        frame(FrameKind::Settings, 0, 0, &[], &mut bytes);
        for stream in [1, 3] {
            let mut block = Vec::new();
            fields(&[(":method", "POST"), (":path", "/shop.Stock/Watch")], &mut block);
            frame(FrameKind::Headers, flag::END_HEADERS, stream, &block, &mut bytes);
        }
        for stream in [3, 1] {
            let content = Message::default().number(1, u64::from(stream));
            message(stream, content.as_ref(), true, &mut bytes);
        }
        let mut client = tokio::net::TcpStream::connect(at).await.unwrap();
        for part in bytes.chunks(7) {
            client.write_all(part).await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        let words: Vec<String> = replies(&told).iter().map(|reply| reply.words()).collect();
        assert_eq!(words.len(), 2);
        assert!(words.iter().all(|words| words.starts_with("OK, ")), "{words:?}");
        task.abort();
    }
}
