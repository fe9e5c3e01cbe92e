//! A client of the echo service by tonic.

use std::net::SocketAddr;

use hyper::http::uri::PathAndQuery;
use tokio_stream::{Stream, StreamExt as _};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::echo::Note;

type Codec = ProstCodec<Note, Note>;

/// One connection. Its clones share it.
#[derive(Clone)]
pub(crate) struct Client(Grpc<Channel>);

impl Client {
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{at}")).unwrap();
        Self::connect_by(endpoint.http2_max_header_list_size(1 << 20)).await
    }

    pub(crate) async fn connect_by(endpoint: Endpoint) -> Self {
        let grpc = Grpc::new(endpoint.connect().await.unwrap());
        Self(grpc.max_decoding_message_size(64 << 20))
    }

    async fn ready(&mut self, method: &str) -> Result<PathAndQuery, Status> {
        self.0.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(format!("/weir.test.Echo/{method}").parse().unwrap())
    }

    /// A call with one message each way.
    pub(crate) async fn unary(
        &mut self,
        method: &str,
        request: impl IntoRequest<Note>,
    ) -> Result<Response<Note>, Status> {
        let path = self.ready(method).await?;
        self.0.unary(request.into_request(), path, Codec::default()).await
    }

    /// A call with many messages in answer.
    pub(crate) async fn server_stream(
        &mut self,
        method: &str,
        note: Note,
    ) -> Result<Streaming<Note>, Status> {
        let path = self.ready(method).await?;
        let answer = self.0.server_streaming(Request::new(note), path, Codec::default()).await?;
        Ok(answer.into_inner())
    }

    /// A call of many messages.
    pub(crate) async fn client_stream(
        &mut self,
        notes: impl Stream<Item = Note> + Send + 'static,
    ) -> Result<Note, Status> {
        let path = self.ready("ClientStream").await?;
        let answer = self.0.client_streaming(Request::new(notes), path, Codec::default()).await?;
        Ok(answer.into_inner())
    }

    /// A call with many messages both ways.
    pub(crate) async fn bidi(
        &mut self,
        notes: impl Stream<Item = Note> + Send + 'static,
    ) -> Result<Streaming<Note>, Status> {
        let path = self.ready("Bidi").await?;
        Ok(self.0.streaming(Request::new(notes), path, Codec::default()).await?.into_inner())
    }
}

/// All messages of an answer, and how it ended.
pub(crate) async fn collect(mut answer: Streaming<Note>) -> (Vec<Note>, Option<Status>) {
    let mut notes = Vec::new();
    while let Some(note) = answer.next().await {
        match note {
            Ok(note) => notes.push(note),
            Err(status) => return (notes, Some(status)),
        }
    }
    (notes, None)
}
