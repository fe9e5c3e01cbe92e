//! The cart service. Careless on purpose: it decodes paths before it looks at them, resolves
//! `..`, obeys a header that changes the method, and trusts whoever calls.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Line;
use super::catalogue::find;
use super::http::{Reply, body, serve as serve_http, text};
use super::recorder::Recorder;
use super::resp::{Client, Value};

/// One connection's way to the store, opened when it is first needed.
struct Store {
    line: Line,
    client: Mutex<Option<Client>>,
}

/// Serves the cart service until it is dropped.
pub(super) async fn serve(listener: TcpListener, recorder: Recorder, store: Line) {
    let connect = move || Arc::new(Store { line: store.clone(), client: Mutex::default() });
    let notes = recorder.clone();
    serve_http(listener, recorder, connect, move |store, request| {
        notes.operation(format!("{} {}", request.method(), request.uri()));
        async move {
            match handle(&store, request).await {
                Ok(reply) | Err(reply) => reply,
            }
        }
    })
    .await;
}

async fn handle(store: &Store, request: Request<Incoming>) -> Result<Reply, Reply> {
    let path = resolve(request.uri().path());
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let method = method(&request);
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["carts", id]) => show(store, id).await,
        ("POST", ["carts", id, "items"]) => add(store, id, &body(request).await?).await,
        ("POST", ["carts", id, "checkout"]) => checkout(store, id).await,
        ("DELETE", ["carts", id] | ["carts", id, "items"]) => {
            store.call(&["DEL", &key(id)]).await?;
            Ok(text(StatusCode::OK, "gone\n"))
        }
        ("GET", ["admin", "export"]) => export(store).await,
        _ => Err(text(StatusCode::NOT_FOUND, "no such page\n")),
    }
}

fn method(request: &Request<Incoming>) -> String {
    let instead = request.headers().get("x-http-method-override");
    let instead = instead.and_then(|value| value.to_str().ok());
    instead.unwrap_or(request.method().as_str()).to_owned()
}

/// Percent-decodes, then takes dot segments out: the order that makes traversal work.
fn resolve(path: &str) -> Vec<String> {
    let decoded = path.replace("%2f", "/").replace("%2F", "/");
    let mut parts = Vec::new();
    for part in decoded.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

fn key(cart: &str) -> String {
    format!("cart:{cart}")
}

async fn add(store: &Store, id: &str, form: &str) -> Result<Reply, Reply> {
    let wrong = || text(StatusCode::BAD_REQUEST, "say product=N&quantity=N\n");
    let mut product = None;
    let mut quantity = None;
    for (name, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "product" => product = value.parse().ok().and_then(find),
            "quantity" => quantity = value.parse::<u32>().ok(),
            _ => return Err(wrong()),
        }
    }
    let (Some(product), Some(quantity)) = (product, quantity) else {
        return Err(wrong());
    };
    let (field, by) = (product.id.to_string(), quantity.to_string());
    let now = store.call(&["HINCRBY", &key(id), &field, &by]).await?;
    match now {
        Value::Integer(now) => Ok(text(StatusCode::OK, format!("{} {now}\n", product.name))),
        other => Err(surprise(&other)),
    }
}

async fn show(store: &Store, id: &str) -> Result<Reply, Reply> {
    let (lines, total) = content(store, id).await?;
    Ok(text(StatusCode::OK, format!("{lines}total {total}\n")))
}

async fn checkout(store: &Store, id: &str) -> Result<Reply, Reply> {
    let (lines, total) = content(store, id).await?;
    let Value::Integer(order) = store.call(&["INCR", "orders"]).await? else {
        return Err(text(StatusCode::BAD_GATEWAY, "no order number\n"));
    };
    let order = format!("order:{order}");
    store.call(&["SET", &order, &lines]).await?;
    store.call(&["DEL", &key(id)]).await?;
    let Value::Text(kept) = store.call(&["GET", &order]).await? else {
        return Err(text(StatusCode::BAD_GATEWAY, "the order is lost\n"));
    };
    Ok(text(StatusCode::OK, format!("{kept}paid {total}\n")))
}

/// The lines of a cart and what they cost together, in cents.
async fn content(store: &Store, id: &str) -> Result<(String, u64), Reply> {
    let Value::List(pairs) = store.call(&["HGETALL", &key(id)]).await? else {
        return Err(text(StatusCode::BAD_GATEWAY, "no cart\n"));
    };
    let mut lines = String::new();
    let mut total = 0;
    for pair in pairs.chunks_exact(2) {
        let [Value::Text(product), Value::Text(quantity)] = pair else {
            return Err(surprise(&pair[0]));
        };
        let found = product.parse().ok().and_then(find);
        if let (Some(found), Ok(quantity)) = (found, quantity.parse::<u64>()) {
            lines.push_str(&format!("{} {quantity}\n", found.name));
            total += found.cents * quantity;
        }
    }
    Ok((lines, total))
}

async fn export(store: &Store) -> Result<Reply, Reply> {
    match store.call(&["KEYS", "cart:*"]).await? {
        Value::List(keys) => Ok(text(StatusCode::OK, format!("{} carts\n", keys.len()))),
        other => Err(surprise(&other)),
    }
}

impl Store {
    async fn call(&self, command: &[&str]) -> Result<Value, Reply> {
        let mut slot = self.client.lock().await;
        let mut client = match slot.take() {
            Some(client) => client,
            None => Client::connect(&self.line).await.map_err(|e| lost(&e))?,
        };
        let value = client.call(command).await.map_err(|e| lost(&e))?;
        *slot = Some(client);
        match value {
            Value::Error(_) => Err(surprise(&value)),
            value => Ok(value),
        }
    }
}

fn lost(error: &std::io::Error) -> Reply {
    text(StatusCode::BAD_GATEWAY, format!("the store does not answer: {error}\n"))
}

fn surprise(value: &Value) -> Reply {
    text(StatusCode::BAD_GATEWAY, format!("the store says {value:?}\n"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn the_traversal_works_where_nobody_stops_it() {
        assert_eq!(resolve("/carts/..%2fadmin%2Fexport"), ["admin", "export"]);
        assert_eq!(resolve("/carts/7"), ["carts", "7"]);
    }
}
