//! The profile at the socket: shown as it is now, and written on demand.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::serve::{Answer, answer};
use super::socket::{error, ok};
use crate::learn::Learning;

const YAML: &str = "application/yaml";

/// `GET /profile`: what has been learned so far, whether or not it is written.
pub(super) async fn show(learning: Option<Arc<Learning>>) -> Answer {
    let Some(learning) = learning else { return none() };
    match learning.show().await {
        Ok(yaml) => answer(StatusCode::OK, YAML, yaml),
        Err(reason) => error(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// `POST /profile`: writes it now.
pub(super) async fn write(learning: Option<Arc<Learning>>) -> Answer {
    let Some(learning) = learning else { return none() };
    match learning.write().await {
        Ok(written) => ok(&json!({
            "path": written.path.to_string_lossy(),
            "bytes": written.bytes,
            "nodes": written.nodes,
        })),
        Err(reason) => error(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

fn none() -> Answer {
    error(StatusCode::NOT_FOUND, "no profile is kept: `weir run --profile FILE` does")
}
