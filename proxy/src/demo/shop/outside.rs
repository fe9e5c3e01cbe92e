//! A server that is none of the shop's: where an intruder would take what it has found.

use std::io;

use hyper::StatusCode;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::http::{serve as serve_http, text};
use super::recorder::Recorder;
use crate::demo::town::Town;

/// Where it listens, by TCP and UDP: HTTPS and QUIC are expected here.
const WEB: u16 = 443;
/// Where it listens by UDP: names are asked for here.
const DNS: u16 = 53;

/// The server at work; it ends when this is dropped.
pub(in crate::demo) struct Outside {
    /// What it receives.
    pub(in crate::demo) recorder: Recorder,
    _tasks: JoinSet<()>,
}

impl Outside {
    /// The port that it serves by TCP and UDP.
    pub(in crate::demo) const WEB: u16 = WEB;
    /// The port that it serves by UDP.
    pub(in crate::demo) const DNS: u16 = DNS;

    /// Opens it.
    ///
    /// # Errors
    /// Those of binding.
    pub(in crate::demo) async fn open(town: &Town) -> io::Result<Self> {
        let (recorder, origin) = (Recorder::default(), &town.outside.application);
        let mut tasks = JoinSet::new();
        let listener = origin.listen(town.everywhere(WEB)).await?;
        let handle = |(), _| async { text(StatusCode::OK, "thank you\n") };
        tasks.spawn(serve_http(listener, recorder.clone(), || (), handle));
        for port in [WEB, DNS] {
            let socket = origin.datagrams(town.everywhere(port)).await?;
            tasks.spawn(take(socket, recorder.clone()));
        }
        Ok(Self { recorder, _tasks: tasks })
    }
}

/// Receives and says nothing.
async fn take(socket: UdpSocket, recorder: Recorder) {
    let mut buffer = [0; 2048];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => recorder.datagram(&buffer[..length]),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
