//! A record of the traffic log, and the operation that it tells of.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;
use weir_policy::class::{CLASSES, Class};

use crate::cli::failure::Failure;

/// One line of the log.
#[derive(Debug)]
pub(super) struct Record(Value);

impl Record {
    /// The last record of this id.
    ///
    /// # Errors
    /// The log cannot be read, or has no such record.
    pub(super) fn find(log: &Path, id: &str) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| {
            Failure::usage(format!("cannot read the log {}: {error}", log.display()))
        };
        let found = if log == Path::new("-") {
            last(io::stdin().lock(), id)
        } else {
            last(BufReader::new(File::open(log).map_err(unreadable)?), id)
        };
        found.map_err(unreadable)?.map(Self).ok_or_else(|| {
            Failure::other(format!("{} has no record of id {id}", log.display())).hint(
                "an id is what a refusal tells the client, such as 3b2a3eec2-1; allowed operations \
                 may have been left out (`--log-allowed`)",
            )
        })
    }

    /// The record in a line: when, what, and what became of it.
    pub(super) fn summary(&self) -> String {
        let op = self.text("op").map(|op| format!(" {op}")).unwrap_or_default();
        let by = self.text("decided_by").map(|by| format!(", decided by {by}")).unwrap_or_default();
        format!(
            "{} {}:{op} {}, reason {}, mode {}{by}",
            self.word("time"),
            self.word("id"),
            self.word("verdict"),
            self.word("reason"),
            self.word("mode"),
        )
    }

    /// The record as the log has it.
    pub(super) fn json(&self) -> String {
        self.0.to_string()
    }

    /// Why it was decided as it was.
    pub(super) fn reason(&self) -> &str {
        self.word("reason")
    }

    /// The operation as `--op` takes it; what the log masks is replaced by a value of its class.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn operation(&self) -> Result<String, String> {
        let need = |name: &str| self.text(name).ok_or_else(|| format!("it has no {name}"));
        let port = self.0["port"].as_u64().ok_or("it has no port")?;
        let protocol = need("protocol")?;
        let what = match protocol {
            "http" => self.http(need("op")?)?,
            "grpc" => {
                let call = self.text("detail").unwrap_or(need("op")?);
                if call.contains(' ') {
                    return Err("its names have a space".to_owned());
                }
                format!(" {} {call}", self.text("host").unwrap_or("-"))
            }
            "redis" => {
                let command = self.text("detail").unwrap_or(need("op")?);
                format!(" db{} {}", self.text("database").unwrap_or("0"), command)
            }
            "tls" => format!(" sni {}", self.text("host").unwrap_or("none")),
            _ => String::new(),
        };
        let what = unmasked(&what);
        if what.contains("{}") || what.contains("{new}") || what.contains('…') {
            return Err("the log masks or cuts a part of it".to_owned());
        }
        Ok(format!("{} {} :{port} {protocol}{what}", need("side")?, need("peer")?))
    }

    fn http(&self, op: &str) -> Result<String, String> {
        let host = self.text("host").unwrap_or("-");
        let (method, shape) = op.split_once(' ').unwrap_or((op, ""));
        if method == "CONNECT" {
            return Ok(format!(" {host} CONNECT"));
        }
        // The detail has the path as sent where it is logged in full; its query is not matched.
        let target = self.text("detail").unwrap_or(shape);
        let path = target.split('?').next().unwrap_or(target);
        if path.contains(' ') {
            return Err("its path has a space".to_owned());
        }
        Ok(format!(" {host} {method} {path}"))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    fn word(&self, name: &str) -> &str {
        self.text(name).unwrap_or("unknown")
    }
}

/// The last line whose `id` this is.
fn last(mut log: impl BufRead, id: &str) -> io::Result<Option<Value>> {
    let needle = memchr::memmem::Finder::new(id.as_bytes());
    let (mut line, mut found) = (Vec::new(), None);
    while log.read_until(b'\n', &mut line)? > 0 {
        if needle.find(&line).is_some()
            && let Ok(value) = serde_json::from_slice::<Value>(&line)
            && value["id"] == id
        {
            found = Some(value);
        }
        line.clear();
    }
    Ok(found)
}

/// The text with a value in place of each class.
fn unmasked(text: &str) -> String {
    CLASSES.iter().fold(text.to_owned(), |text, class| {
        text.replace(&format!("{{{}}}", class.as_str()), example(*class))
    })
}

/// A value of this class that no entry is likely to name.
fn example(class: Class) -> &'static str {
    match class {
        Class::Int => "7430916852",
        Class::Uuid => "8f14e45f-ceea-467f-a5d1-3b2e9c07d6a4",
        Class::Hex => "8f14e45fceea467f",
        Class::Date => "2031-07-19",
        Class::Email => "someone@mail.invalid",
        Class::Token => "k3Jx9Qz7Lm2Vt8RwY5bN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weir_policy::class::classify;
    use weir_policy::text::OpText;

    #[test]
    fn examples_are_of_their_class() {
        for class in CLASSES {
            assert_eq!(classify(example(class).as_bytes()), Some(class));
        }
    }

    fn operation(value: Value) -> Result<String, String> {
        let text = Record(value).operation()?;
        text.parse::<OpText>().expect(&text);
        Ok(text)
    }

    #[test]
    fn records_become_operations() {
        let http = json!({"side": "inbound", "peer": "10.0.0.7", "port": 80, "protocol": "http",
            "host": "cart.shop", "op": "GET /carts/{int}", "detail": "/carts/{int}?x={}"});
        let text = "inbound 10.0.0.7 :80 http cart.shop GET /carts/7430916852";
        assert_eq!(operation(http).as_deref(), Ok(text));
        let full = json!({"side": "inbound", "peer": "::1", "port": 80, "protocol": "http",
            "op": "GET /carts/{int}", "detail": "/carts/7"});
        assert_eq!(operation(full).as_deref(), Ok("inbound ::1 :80 http - GET /carts/7"));
        let redis = json!({"side": "outbound", "peer": "10.0.0.7", "port": 6379,
            "protocol": "redis", "database": "0", "op": "CONFIG|SET", "detail": "CONFIG|SET"});
        let text = "outbound 10.0.0.7 :6379 redis db0 CONFIG|SET";
        assert_eq!(operation(redis).as_deref(), Ok(text));
        let grpc = json!({"side": "inbound", "peer": "10.0.0.7", "port": 9090, "protocol": "grpc",
            "host": "cart.shop", "op": "shop.Cart/AddItem", "detail": "shop.Cart/AddItem"});
        let text = "inbound 10.0.0.7 :9090 grpc cart.shop shop.Cart/AddItem";
        assert_eq!(operation(grpc).as_deref(), Ok(text));
        let opaque = json!({"side": "inbound", "peer": "10.0.0.7", "port": 1,
            "protocol": "opaque"});
        assert_eq!(operation(opaque).as_deref(), Ok("inbound 10.0.0.7 :1 opaque"));
    }

    #[test]
    fn what_the_log_leaves_out_cannot_be_decided() {
        let mut record = json!({"side": "inbound", "peer": "10.0.0.7", "port": 80,
            "protocol": "http", "op": "GET /a;k={}", "detail": "/a;k={}"});
        assert!(operation(record.clone()).unwrap_err().contains("masks"));
        let hidden = json!({"side": "inbound", "peer": "10.0.0.7", "port": 80, "protocol": "grpc",
            "op": "shop.Cart/{new}", "detail": "shop.Cart/{new}"});
        assert!(operation(hidden).unwrap_err().contains("masks"));
        record.as_object_mut().unwrap().remove("op");
        assert_eq!(operation(record), Err("it has no op".to_owned()));
    }

    #[test]
    fn the_last_record_of_an_id_is_found() {
        let log = "{\"id\":\"a-1\",\"phase\":\"start\"}\nnot json a-1\n{\"id\":\"a-1\",\"n\":2}\n\
                   {\"id\":\"a-12\"}\n";
        assert_eq!(last(log.as_bytes(), "a-1").unwrap().unwrap()["n"], 2);
        assert!(last(log.as_bytes(), "a").unwrap().is_none());
    }
}
