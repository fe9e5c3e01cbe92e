//! HTTP/2 and gRPC: an origin of the harness's own behind, h2load before.

pub mod calls;
pub mod client;
pub mod h2load;
pub mod idle;
pub mod origin;
pub mod target;
