//! The front end: shows the range and where things are, puts aside what is bought, and passes on
//! what concerns carts to the cart service.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Line;
use super::catalogue::{PRODUCTS, Product, find};
use super::grpc::Client as Caller;
use super::grpc::proto::{Message, number, text as text_of};
use super::http::{Client, Reply, body, serve as serve_http, text};
use super::recorder::Recorder;
use super::stock::{CHECK, RESERVE, WATCH};

/// One connection's ways to the services behind, each opened when it is first needed.
struct Behind {
    cart: CartService,
    stock: Stock,
}

/// The way to the cart service.
struct CartService {
    line: Line,
    client: Mutex<Option<Client>>,
}

/// The way to the stock.
struct Stock {
    line: Line,
    client: Mutex<Option<Caller>>,
}

/// Serves the front end until it is dropped.
pub(super) async fn serve(listener: TcpListener, recorder: Recorder, cart: Line, stock: Line) {
    let connect = move || {
        let cart = CartService { line: cart.clone(), client: Mutex::default() };
        let stock = Stock { line: stock.clone(), client: Mutex::default() };
        Arc::new(Behind { cart, stock })
    };
    let notes = recorder.clone();
    serve_http(listener, recorder, connect, move |behind, request| {
        notes.operation(format!("{} {}", request.method(), request.uri()));
        async move {
            match handle(&behind, request).await {
                Ok(reply) | Err(reply) => reply,
            }
        }
    })
    .await;
}

async fn handle(behind: &Behind, request: Request<Incoming>) -> Result<Reply, Reply> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let get = request.method() == Method::GET;
    let post = request.method() == Method::POST;
    Ok(match parts.as_slice() {
        [""] if get => text(StatusCode::OK, "Welcome. See /products.\n"),
        ["products"] if get => text(StatusCode::OK, range()),
        ["products", id] if get => product(behind, id).await?,
        ["carts", id] if get => behind.cart.call("GET", &format!("/carts/{id}"), "").await,
        ["carts", id, "items"] if post => add(behind, id, &body(request).await?).await?,
        ["carts", id, "checkout"] if post => {
            let target = format!("/carts/{id}/checkout");
            behind.cart.call("POST", &target, &body(request).await?).await
        }
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    })
}

/// A product's page: what it costs, and where it is.
async fn product(behind: &Behind, id: &str) -> Result<Reply, Reply> {
    let Some(product) = id.parse().ok().and_then(find) else {
        return Err(text(StatusCode::NOT_FOUND, "no such product\n"));
    };
    let asked = Message::default().number(1, product.id);
    let there = behind.stock.call(WATCH, &asked).await?;
    let places: Vec<String> = there.iter().filter_map(|place| text_of(place, 1)).collect();
    Ok(text(StatusCode::OK, format!("{}in stock: {}\n", line(product), places.join(", "))))
}

/// Puts aside what goes into a cart. A form that says nothing of that is the cart service's to
/// refuse.
async fn add(behind: &Behind, id: &str, form: &str) -> Result<Reply, Reply> {
    let value = |wanted: &str| -> Option<u64> {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted)?.1.parse().ok()
    };
    if let Some((product, quantity)) = value("product").zip(value("quantity")) {
        let wanted = Message::default().number(1, product).number(2, quantity);
        let aside = behind.stock.call(RESERVE, &wanted).await?;
        if aside.first().and_then(|aside| number(aside, 1)) != Some(quantity) {
            return Err(text(StatusCode::CONFLICT, "it cannot be put aside\n"));
        }
    }
    Ok(behind.cart.call("POST", &format!("/carts/{id}/items"), form).await)
}

fn range() -> String {
    PRODUCTS.iter().map(line).collect()
}

fn line(product: &Product) -> String {
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

impl Stock {
    /// A new connection asks first whether the stock is well.
    async fn call(&self, method: &str, content: &Message) -> Result<Vec<Vec<u8>>, Reply> {
        let lost =
            |error| text(StatusCode::BAD_GATEWAY, format!("the stock does not answer: {error}\n"));
        let mut slot = self.client.lock().await;
        let mut client = match slot.take() {
            Some(client) => client,
            None => {
                let mut client = Caller::connect(&self.line, "stock").await.map_err(lost)?;
                client.call(CHECK, &[]).await.map_err(lost)?;
                client
            }
        };
        let messages = client.call(method, content.as_ref()).await.map_err(lost)?;
        *slot = Some(client);
        Ok(messages)
    }
}

fn unreachable(error: &std::io::Error) -> Reply {
    text(StatusCode::BAD_GATEWAY, format!("the cart service does not answer: {error}\n"))
}
