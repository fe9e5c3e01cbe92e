//! The store: enough of Redis to keep a shop's carts, and enough to be robbed of them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::listen::each_connection;
use super::recorder::{Recorded, Recorder};
use super::resp::{Value, read_command};

/// What is kept under a key.
enum Kept {
    Text(String),
    Hash(BTreeMap<String, i64>),
}

type Data = HashMap<String, Kept>;

/// Serves the store until it is dropped.
pub(super) async fn serve(listener: TcpListener, recorder: Recorder) {
    let data = Arc::new(Mutex::new(Data::new()));
    each_connection(listener, |stream| {
        let stream = recorder.listen(stream);
        let (notes, data) = (recorder.clone(), Arc::clone(&data));
        async move {
            // An error here is a client that broke off: the client's trouble.
            let _ = converse(stream, &notes, &data).await;
        }
    })
    .await;
}

async fn converse(stream: Recorded, notes: &Recorder, data: &Mutex<Data>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut out = Vec::new();
    loop {
        let words = match read_command(&mut stream).await {
            Ok(Some(words)) => words,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return stream.write_all(b"-ERR Protocol error\r\n").await;
            }
            Err(error) => return Err(error),
        };
        let Some(name) = words.first() else { continue };
        notes.operation(words.join(" "));
        let reply = {
            let mut data = data.lock().unwrap_or_else(PoisonError::into_inner);
            execute(&mut data, &name.to_ascii_uppercase(), &words)
        };
        out.clear();
        reply.encode(&mut out);
        stream.write_all(&out).await?;
    }
}

fn execute(data: &mut Data, name: &str, words: &[String]) -> Value {
    let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    match (name, args.as_slice()) {
        ("PING", []) => Value::Status("PONG".into()),
        ("GET", [key]) => match data.get(*key) {
            Some(Kept::Text(text)) => Value::Text(text.clone()),
            Some(Kept::Hash(_)) => wrong_type(),
            None => Value::Nil,
        },
        ("SET", [key, text]) => {
            data.insert((*key).into(), Kept::Text((*text).into()));
            ok()
        }
        ("INCR", [key]) => incr(data, key),
        ("DEL", [key]) => Value::Integer(i64::from(data.remove(*key).is_some())),
        ("HINCRBY", [key, field, by]) => hincrby(data, key, field, by),
        ("HGETALL", [key]) => hgetall(data, key),
        // From here on, what an intruder would like.
        ("KEYS", [_]) => Value::List(data.keys().cloned().map(Value::Text).collect()),
        ("FLUSHALL", []) => {
            data.clear();
            ok()
        }
        ("CONFIG" | "REPLICAOF", [_, ..]) => ok(),
        ("EVAL", [_, ..]) => Value::Nil,
        // The words are the server's own; a sidecar that has a command refused by the server
        // looks for them.
        _ => unknown(&words[0], &args),
    }
}

fn unknown(name: &str, args: &[&str]) -> Value {
    let mut words = format!("ERR unknown command '{name}', with args beginning with: ");
    for arg in args {
        words.push_str(&format!("'{arg}' "));
    }
    Value::Error(words.replace(['\r', '\n'], " "))
}

fn incr(data: &mut Data, key: &str) -> Value {
    let now = match data.get(key) {
        Some(Kept::Text(text)) => text.parse().unwrap_or(0) + 1,
        Some(Kept::Hash(_)) => return wrong_type(),
        None => 1_i64,
    };
    data.insert(key.into(), Kept::Text(now.to_string()));
    Value::Integer(now)
}

fn hincrby(data: &mut Data, key: &str, field: &str, by: &str) -> Value {
    let Ok(by) = by.parse::<i64>() else {
        return Value::Error("ERR value is not an integer or out of range".into());
    };
    let empty = || Kept::Hash(BTreeMap::new());
    let Kept::Hash(hash) = data.entry(key.into()).or_insert_with(empty) else {
        return wrong_type();
    };
    let count = hash.entry(field.into()).or_insert(0);
    *count = count.saturating_add(by);
    Value::Integer(*count)
}

fn hgetall(data: &Data, key: &str) -> Value {
    match data.get(key) {
        Some(Kept::Hash(hash)) => {
            let pair = |(field, n): (&String, &i64)| {
                [Value::Text(field.clone()), Value::Text(n.to_string())]
            };
            Value::List(hash.iter().flat_map(pair).collect())
        }
        Some(Kept::Text(_)) => wrong_type(),
        None => Value::List(Vec::new()),
    }
}

fn ok() -> Value {
    Value::Status("OK".into())
}

fn wrong_type() -> Value {
    Value::Error("WRONGTYPE Operation against a key holding the wrong kind of value".into())
}
