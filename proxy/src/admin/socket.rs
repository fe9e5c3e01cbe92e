//! The Unix socket: mode, configuration, policy and taps, for the sidecar's own user and root.
//!
//! The pod's loopback is the intruder's loopback too: a socket file has an owner, and the kernel
//! says who is at the other end.

use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};

use super::serve::{Answer, accept_until, answer, endless};
use super::{Control, ModeState, Override, profile};
use crate::config::values::Mode;
use crate::report::metrics::{AdminRejection, mode_word};
use crate::report::tap::{Filter, NoTap};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const BODY: usize = 16 << 10;
const REASON: usize = 1 << 10;
/// The longest time for an override, in seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// The socket's file, with its listener. Dropping it removes the file, if it is still this one.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Makes the socket, mode 0600, at `path`; one that nobody answers on is replaced. To be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// Something else is there, another process answers, or the system says no; with the path.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let told = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot make the socket {}: {error}", path.display()),
            )
        };
        remove_stale(path).map_err(told)?;
        listen(path).map_err(told)
    }
}

fn listen(path: &Path) -> io::Result<Socket> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // Nobody can connect before it listens, and then only who may.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(socket.into())?;
    Ok(Socket { listener, path: path.to_owned(), inode: inode(path)? })
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else"));
        }
        Ok(_) => {}
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process answers on it")),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for Socket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // It may have been removed in between; then there is nothing to do.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Serves on `socket` until `shutdown`, then finishes answers under way and removes the file.
pub async fn serve_socket(
    socket: Socket,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()>,
) {
    let accept = || async { socket.listener.accept().await.map(|(stream, _)| stream) };
    accept_until(shutdown, accept, |crowd, stream: UnixStream| {
        if !may_ask(&stream) {
            control.metrics().admin_rejected(AdminRejection::User);
            return;
        }
        let asked = Arc::clone(&control);
        crowd.serve(stream, control.metrics(), move |request| {
            let asked = Arc::clone(&asked);
            async move { route(&*asked, request).await }
        });
    })
    .await;
}

/// Whether the other end is this process's user or root.
fn may_ask(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn route(control: &dyn Control, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path());
    match (path, &method) {
        ("/config", &Method::GET) => ok(&control.config()),
        ("/policy", &Method::GET) => ok(&control.policy()),
        ("/mode", &Method::GET) => ok(&mode(&control.mode())),
        ("/mode", &Method::DELETE) => {
            control.clear_mode();
            ok(&mode(&control.mode()))
        }
        ("/mode", &Method::PUT) => match change(request).await {
            Ok(change) => match control.set_mode(change) {
                Ok(()) => ok(&mode(&control.mode())),
                Err(reason) => error(StatusCode::CONFLICT, &reason),
            },
            Err((status, reason)) => error(status, &reason),
        },
        ("/profile", &Method::GET) => profile::show(control.learning()).await,
        ("/profile", &Method::POST) => profile::write(control.learning()).await,
        ("/profile", _) => not_allowed("GET, POST"),
        ("/mode", _) => not_allowed("GET, PUT, DELETE"),
        ("/tap", &Method::GET) => tap(control, request.uri().query().unwrap_or_default()),
        ("/config" | "/policy" | "/tap", _) => not_allowed("GET"),
        _ => error(StatusCode::NOT_FOUND, "there are /config, /mode, /policy, /profile and /tap"),
    }
}

fn tap(control: &dyn Control, query: &str) -> Answer {
    let filter = match Filter::from_query(query) {
        Ok(filter) => filter,
        Err(reason) => return error(StatusCode::BAD_REQUEST, &reason),
    };
    match control.tap(filter) {
        Ok(tap) => endless(LINES, tap),
        Err(none @ NoTap::Busy(_)) => error(StatusCode::TOO_MANY_REQUESTS, &none.to_string()),
        Err(none @ NoTap::Ended) => error(StatusCode::SERVICE_UNAVAILABLE, &none.to_string()),
    }
}

/// The body of `PUT /mode`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    mode: Mode,
    /// Seconds.
    r#for: Option<u64>,
    reason: Option<String>,
}

async fn change(request: Request<Incoming>) -> Result<Override, (StatusCode, String)> {
    let body = Limited::new(request.into_body(), BODY).collect().await;
    let body = body
        .map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {BODY} bytes")))?
        .to_bytes();
    let bad = |reason| (StatusCode::BAD_REQUEST, reason);
    let change: Change = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    if change.reason.as_ref().is_some_and(|reason| reason.len() > REASON) {
        return Err(bad(format!("the reason is over {REASON} bytes")));
    }
    if change.r#for.is_some_and(|seconds| !(1..=YEAR).contains(&seconds)) {
        return Err(bad(format!("`for` is a number of seconds, from 1 to {YEAR}")));
    }
    let duration = change.r#for.map(Duration::from_secs);
    Ok(Override { mode: change.mode.into(), duration, reason: change.reason })
}

fn mode(state: &ModeState) -> Value {
    let configured = mode_word(state.configured);
    let live = state.live.as_ref().map(|live| {
        json!({
            "mode": mode_word(live.mode),
            "for": live.duration.map(|left| left.as_secs()),
            "reason": live.reason,
        })
    });
    let in_force = state.live.as_ref().map_or(configured, |live| mode_word(live.mode));
    json!({ "mode": in_force, "configured": configured, "override": live })
}

pub(super) fn ok(value: &Value) -> Answer {
    answer(StatusCode::OK, JSON, format!("{value}\n"))
}

pub(super) fn error(status: StatusCode, reason: &str) -> Answer {
    answer(status, JSON, format!("{}\n", json!({ "error": reason })))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, methods);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}
