//! The front end: shows the range, and passes what concerns carts on to the cart service.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Line;
use super::catalogue::{PRODUCTS, find};
use super::http::{Client, Reply, body, serve as serve_http, text};
use super::recorder::Recorder;

/// One connection's way to the cart service, opened when it is first needed.
struct CartService {
    line: Line,
    client: Mutex<Option<Client>>,
}

/// Serves the front end until it is dropped.
pub(super) async fn serve(listener: TcpListener, recorder: Recorder, cart: Line) {
    let connect = move || Arc::new(CartService { line: cart.clone(), client: Mutex::default() });
    let notes = recorder.clone();
    serve_http(listener, recorder, connect, move |cart, request| {
        notes.operation(format!("{} {}", request.method(), request.uri()));
        async move { handle(&cart, request).await }
    })
    .await;
}

async fn handle(cart: &CartService, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let get = request.method() == Method::GET;
    let post = request.method() == Method::POST;
    match parts.as_slice() {
        [""] if get => text(StatusCode::OK, "Welcome. See /products.\n"),
        ["products"] if get => text(StatusCode::OK, range()),
        ["products", id] if get => product(id),
        ["carts", id] if get => cart.call("GET", &format!("/carts/{id}"), "").await,
        ["carts", id, action @ ("items" | "checkout")] if post => {
            let target = format!("/carts/{id}/{action}");
            match body(request).await {
                Ok(body) => cart.call("POST", &target, &body).await,
                Err(reply) => reply,
            }
        }
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

fn range() -> String {
    PRODUCTS.iter().map(line).collect()
}

fn product(id: &str) -> Reply {
    match id.parse().ok().and_then(find) {
        Some(product) => text(StatusCode::OK, line(product)),
        None => text(StatusCode::NOT_FOUND, "no such product\n"),
    }
}

fn line(product: &super::catalogue::Product) -> String {
    format!("{} {} {}\n", product.id, product.name, product.cents)
}

impl CartService {
    async fn call(&self, method: &str, target: &str, body: &str) -> Reply {
        let mut slot = self.client.lock().await;
        let mut client = match slot.take() {
            Some(client) => client,
            None => match Client::connect(&self.line, "cart").await {
                Ok(client) => client,
                Err(error) => return unreachable(&error),
            },
        };
        match client.call(method, target, body).await {
            Ok(answer) => {
                *slot = Some(client);
                let status = StatusCode::from_u16(answer.status);
                text(status.unwrap_or(StatusCode::BAD_GATEWAY), answer.body)
            }
            Err(error) => unreachable(&error),
        }
    }
}

fn unreachable(error: &std::io::Error) -> Reply {
    text(StatusCode::BAD_GATEWAY, format!("the cart service does not answer: {error}\n"))
}
