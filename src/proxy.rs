//! The pingora adapter: sockets, worker threads, and hooks that only call what the floors below decide.

mod admission;
pub mod alarm;
pub mod client;
mod client_api;
mod connect;
pub mod connections;
pub mod deadlines;
pub mod exchange;
mod failure;
mod first_byte;
pub mod front_door;
mod grpc;
pub mod head;
pub mod hooks;
mod http10;
pub mod idle;
mod intake;
pub mod listener;
mod outcome;
mod outgoing;
mod peer;
mod queue;
mod recovery;
mod refusal;
mod reply;
mod shutoff;
pub mod workers;
