//! The shop: a front end and a cart service that speak HTTP, a store that speaks Redis, and a
//! stock that speaks gRPC.
//!
//! They are tasks of the demo's process with real sockets between them, which may be in several
//! network namespaces. Each keeps a
//! [`Recorder`] of all that it receives, which is how the demo knows what an attack reached.
//! They are careless on purpose: the cart service decodes paths and obeys override headers, the
//! store runs any command from anyone, and the stock makes a call of whatever looks like one.

mod cart;
mod catalogue;
mod frontend;
pub(super) mod grpc;
pub(super) mod http;
mod listen;
mod outside;
mod recorder;
pub(super) mod resp;
pub(super) mod stock;
mod store;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::origin::Origin;
use super::town::Town;
pub(super) use catalogue::PRODUCTS;
pub(super) use outside::Outside;
pub(super) use recorder::Recorder;

/// One of the shop's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Where the customers come in.
    Frontend,
    /// Keeps the carts, called by the front end.
    Cart,
    /// Keeps the data, called by the cart service.
    Store,
    /// Knows what there is, called by the front end.
    Stock,
}

impl Workload {
    /// All of them, outermost first.
    pub(super) const ALL: [Self; 4] = [Self::Frontend, Self::Cart, Self::Store, Self::Stock];

    /// The name in policies, file names and the transcript.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Cart => "cart",
            Self::Store => "store",
            Self::Stock => "stock",
        }
    }

    /// The service's port, where it can choose.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Frontend => 8080,
            Self::Cart => 8081,
            Self::Store => 6379,
            Self::Stock => 9090,
        }
    }
}

/// A service as somebody dials it: from where, and at which address.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// From where.
    pub(super) origin: Origin,
    /// Where it is dialled.
    pub(super) address: SocketAddr,
}

impl Line {
    /// Dials.
    ///
    /// # Errors
    /// Those of the connect.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        let stream = self.origin.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A service whose socket is bound and which is not served yet.
pub(super) struct Door {
    listener: TcpListener,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What it receives.
    pub(super) recorder: Recorder,
}

impl Door {
    async fn open(origin: &Origin, at: SocketAddr) -> io::Result<Self> {
        let listener = origin.listen(at).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, recorder: Recorder::default() })
    }
}

/// The services, bound.
pub(super) struct Shop {
    /// The front end.
    pub(super) frontend: Door,
    /// The cart service.
    pub(super) cart: Door,
    /// The store.
    pub(super) store: Door,
    /// The stock.
    pub(super) stock: Door,
}

/// The services at work; they end when this is dropped.
pub(super) struct Open {
    _tasks: JoinSet<()>,
}

impl Shop {
    /// Binds to free ports of 127.0.0.1, so that the sidecars can be told where to go.
    ///
    /// # Errors
    /// No free port.
    pub(super) async fn bind() -> io::Result<Self> {
        let door = || Door::open(&Origin::Machine, (Ipv4Addr::LOCALHOST, 0).into());
        Ok(Self {
            frontend: door().await?,
            cart: door().await?,
            store: door().await?,
            stock: door().await?,
        })
    }

    /// Binds each service to its port in its pod.
    ///
    /// # Errors
    /// Those of binding.
    pub(super) async fn bind_in(town: &Town) -> io::Result<Self> {
        let door = async |of: Workload| {
            Door::open(&town.pod(of).application, town.everywhere(of.port())).await
        };
        Ok(Self {
            frontend: door(Workload::Frontend).await?,
            cart: door(Workload::Cart).await?,
            store: door(Workload::Store).await?,
            stock: door(Workload::Stock).await?,
        })
    }

    /// One service's door.
    pub(super) fn door(&self, workload: Workload) -> &Door {
        match workload {
            Workload::Frontend => &self.frontend,
            Workload::Cart => &self.cart,
            Workload::Store => &self.store,
            Workload::Stock => &self.stock,
        }
    }

    /// Opens the shop: the front end calls the cart service at `cart` and the stock at `stock`,
    /// the cart service the store at `store`.
    pub(super) fn open(self, cart: Line, store: Line, stock: Line) -> Open {
        let mut tasks = JoinSet::new();
        let frontend = self.frontend;
        tasks.spawn(frontend::serve(frontend.listener, frontend.recorder, cart, stock));
        tasks.spawn(cart::serve(self.cart.listener, self.cart.recorder, store));
        tasks.spawn(store::serve(self.store.listener, self.store.recorder));
        tasks.spawn(stock::serve(self.stock.listener, self.stock.recorder));
        Open { _tasks: tasks }
    }
}
