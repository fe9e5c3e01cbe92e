//! Serves HTTP/1 connections, a bounded number of them, each for a bounded time. An endless answer
//! takes its connection out of both bounds: whoever gives it bounds how many there are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};

use crate::report::metrics::{AdminRejection, Metrics};

/// Connections at once. One more ends the oldest, so that a crowd cannot keep probes out.
const CONNECTIONS: usize = 64;
/// Time for a request to come.
const HEAD: Duration = Duration::from_secs(5);
/// Time for a connection, answer included.
const WHOLE: Duration = Duration::from_secs(15);
/// Time for answers under way when the server stops.
const LINGER: Duration = Duration::from_millis(500);
/// After a failed accept, when descriptors are short.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// An answer of this sort.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = with_body(kind, Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// An answer that goes on until its body or the client ends it.
pub(super) fn endless(
    kind: &'static str,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Answer {
    let mut answer = with_body(kind, body);
    answer.extensions_mut().insert(Endless);
    answer
}

fn with_body(
    kind: &'static str,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(body.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// The mark of such an answer.
#[derive(Clone, Copy)]
struct Endless;

/// The connections being served.
#[derive(Default)]
pub(super) struct Crowd {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<Member>,
}

/// A connection that is served.
struct Member {
    task: AbortHandle,
    /// It has an endless answer.
    stays: Arc<AtomicBool>,
}

impl Crowd {
    /// Serves one more: a request, its answer by `route`, and the end.
    pub(super) fn serve<S, R, F>(&mut self, stream: S, metrics: &Metrics, route: R)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        R: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first
            .retain(|member| !member.task.is_finished() && !member.stays.load(Relaxed));
        if self.oldest_first.len() >= CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.task.abort();
            metrics.admin_rejected(AdminRejection::Busy);
        }
        let stays = Arc::new(AtomicBool::new(false));
        let will_stay = Arc::clone(&stays);
        let service = service_fn(move |request| {
            let (answer, stays) = (route(request), Arc::clone(&will_stay));
            async move {
                let answer = answer.await;
                stays.fetch_or(answer.extensions().get::<Endless>().is_some(), Relaxed);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let goes_on = Arc::clone(&stays);
        let task = self.tasks.spawn(async move {
            tokio::pin!(connection);
            // How it ended concerns the other side alone.
            if tokio::time::timeout(WHOLE, &mut connection).await.is_err() && goes_on.load(Relaxed)
            {
                let _ = connection.await;
            }
        });
        self.oldest_first.push_back(Member { task, stays });
    }

    /// Lets answers under way finish, for a moment.
    pub(super) async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LINGER, all).await;
    }
}

/// Calls `serve` with each accepted stream until `shutdown`, then lets answers finish.
pub(super) async fn accept_until<S, A, F>(
    shutdown: impl Future<Output = ()>,
    accept: A,
    mut serve: impl FnMut(&mut Crowd, S),
) where
    A: Fn() -> F,
    F: Future<Output = std::io::Result<S>>,
{
    let mut crowd = Crowd::default();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return crowd.finish().await,
            accepted = accept() => match accepted {
                Ok(stream) => serve(&mut crowd, stream),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}
