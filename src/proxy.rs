//! Traffic: sockets, worker threads, connections and their deadlines, and the adapter to pingora, which serves HTTP.
//!
//! Only [`pingora`] knows what pingora is. Whatever else may serve HTTP one day implements [`serving::ServeHttp`] over
//! [`client::ClientStream`].

mod acceptor;
mod admission;
pub mod client;
pub mod connection_limit;
mod connections;
mod deadlines;
mod entrance;
mod explanation;
mod handshake;
mod lingering;
pub mod listener;
pub mod metrics;
pub mod mirroring;
mod overload;
pub mod pingora;
mod queue;
pub mod run;
pub mod serving;
mod sweep;
pub mod throttle;
mod timer;
mod transfer;
pub mod transport;
mod worker_local;
pub mod workers;
