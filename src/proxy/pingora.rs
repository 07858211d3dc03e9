//! The adapter to pingora: hooks that translate between its sessions and what the floors below decide.

mod answer;
mod body;
mod client_api;
mod connect;
mod ctx;
mod failure;
mod first_byte;
mod grpc;
mod head;
mod hooks;
mod http10;
pub mod http_server;
mod idle;
mod intake;
mod outcome;
mod outgoing;
mod peer;
pub mod proxy;
mod recovery;
mod reply;
mod room;
mod shutoff;
mod stream;
mod stream_refusal;
mod uploads;
mod upstream_socket;
mod waiting;
