//! The admin endpoint: `/metrics`, `/ready`, `/live` and `/probe`, for anyone who reaches the pod.

use std::future::Future;
use std::sync::Arc;

use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::net::TcpListener;

use super::Control;
use super::probe::probe;
use super::serve::{Answer, accept_until, answer};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves on `listener` until `shutdown`, then finishes answers under way.
pub async fn serve_admin(
    listener: TcpListener,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()>,
) {
    let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
    accept_until(shutdown, accept, |crowd, stream| {
        let asked = Arc::clone(&control);
        let at = stream.local_addr().ok().map(|at| at.ip());
        crowd.serve(stream, control.metrics(), move |request| {
            let asked = Arc::clone(&asked);
            async move {
                match (route(&*asked, request.method(), request.uri().path()), at) {
                    (Route::Answered(answer), _) => answer,
                    (Route::Probe(port), Some(at)) => probe(&*asked, at, port).await,
                    // The connection is gone.
                    (Route::Probe(_), None) => not_found(),
                }
            }
        });
    })
    .await;
}

/// What is to be done for a request.
enum Route {
    Answered(Answer),
    Probe(u16),
}

fn route(control: &dyn Control, method: &Method, path: &str) -> Route {
    let probed = path.strip_prefix("/probe/tcp/").map(str::parse);
    match probed {
        Some(Ok(port)) if matches!(*method, Method::GET | Method::HEAD) => Route::Probe(port),
        Some(Err(_)) => Route::Answered(not_found()),
        _ => Route::Answered(answer_to(control, method, path, probed.is_some())),
    }
}

fn not_found() -> Answer {
    answer(StatusCode::NOT_FOUND, TEXT, "not found\n")
}

fn answer_to(control: &dyn Control, method: &Method, path: &str, known: bool) -> Answer {
    if !known && !matches!(path, "/metrics" | "/ready" | "/live") {
        return not_found();
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => answer(StatusCode::OK, METRICS, control.metrics().render()),
        "/ready" => health(control.ready(), "ready\n", "not ready\n"),
        _ => health(control.live(), "live\n", "not live\n"),
    }
}

fn health(well: bool, yes: &'static str, no: &'static str) -> Answer {
    if well {
        answer(StatusCode::OK, TEXT, yes)
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, no)
    }
}
