//! Where the demo's sockets are made, and as whom.
//!
//! A socket stays in the network namespace that its thread was in, and belongs to the user that
//! its thread was: the kernel's rules see both. So a thread inside a pod makes the sockets of the
//! pod's application, and all of them are served by one program.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixStream};
use tokio::sync::oneshot;

use super::child::become_user;
use super::namespace::Namespace;
use crate::net;

/// What a thread in a pod is given to do.
type Job = Box<dyn FnOnce() + Send>;

/// Where sockets are made. Copies are the same place.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// This machine, as whoever runs the demo.
    Machine,
    /// A thread in a namespace, as a user. It ends when nobody has a copy.
    Inside(Sender<Job>),
}

impl Origin {
    /// Inside a namespace, as `uid`.
    ///
    /// # Errors
    /// The namespace cannot be entered, or no other user be become.
    pub(super) fn inside(namespace: &Namespace, uid: u32) -> io::Result<Self> {
        let (jobs, work) = channel::<Job>();
        let (tell, told) = channel();
        let namespace = namespace.handle()?;
        thread::Builder::new().name("pod".to_owned()).spawn(move || {
            let settled = namespace.enter().and_then(|()| become_user(uid));
            let stays = settled.is_ok();
            let _ = tell.send(settled);
            if stays {
                work.iter().for_each(|job| job());
            }
        })?;
        told.recv().map_err(io::Error::other)??;
        Ok(Self::Inside(jobs))
    }

    /// Does something short there.
    ///
    /// # Errors
    /// Those of what is done.
    async fn make<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self::Inside(jobs) = self else { return what() };
        let (answer, answered) = oneshot::channel();
        let job = move || drop(answer.send(what()));
        jobs.send(Box::new(job)).map_err(|_| io::Error::other("a pod's thread has ended"))?;
        answered.await.map_err(io::Error::other)?
    }

    /// Connects from there.
    ///
    /// # Errors
    /// Those of the connect.
    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.try_to_connect(to).await?.1
    }

    /// Connects from there, and tells the own address of the attempt however it ends.
    ///
    /// # Errors
    /// No socket can be made.
    pub(super) async fn try_to_connect(
        &self,
        to: SocketAddr,
    ) -> io::Result<(SocketAddr, io::Result<TcpStream>)> {
        let make = move || {
            let socket = socket(to, Type::STREAM)?;
            // A port that the kernel chose while connecting is forgotten when a reset comes.
            socket.bind(&net::any_port(to).into())?;
            Ok(socket)
        };
        let socket = self.make(make).await?;
        let same = std::net::TcpStream::from(socket.try_clone()?);
        let connected = TcpSocket::from_std_stream(socket.into()).connect(to).await;
        Ok((same.local_addr()?, connected))
    }

    /// Listens there.
    ///
    /// # Errors
    /// Those of binding.
    pub(super) async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let listener = self.make(move || {
            let listener = std::net::TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        TcpListener::from_std(listener.await?)
    }

    /// A datagram socket bound to `at`.
    ///
    /// # Errors
    /// Those of binding.
    pub(super) async fn datagrams(&self, at: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.make(move || {
            let socket = socket(at, Type::DGRAM)?;
            socket.bind(&at.into())?;
            Ok(socket)
        });
        UdpSocket::from_std(socket.await?.into())
    }

    /// Connects to a Unix socket as the user that it is there.
    ///
    /// # Errors
    /// Those of the connect.
    pub(super) async fn connect_unix(&self, path: PathBuf) -> io::Result<UnixStream> {
        let stream = self.make(move || {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        UnixStream::from_std(stream.await?)
    }
}

fn socket(to: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
