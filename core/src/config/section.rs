//! The sections of the file, each compiled to what the gateway runs on, and the names by which they refer to
//! each other.

pub mod admin;
pub mod attribution;
pub mod canary_urls;
pub mod client_api;
pub mod conditions;
mod fixed_response;
pub mod flags;
pub mod headers;
pub mod identity;
pub mod logging;
pub mod process;
pub mod recovery;
pub mod redis;
pub mod registry;
pub mod relations;
pub mod routes;
pub mod services;
mod sockets;
mod tls;
pub mod traces;
pub mod traffic;
pub mod unleash;

use super::node::Node;
use super::reader::Reader;
use crate::context::Moment;

/// Compiles a part of the file as if the file did not have it: every key has its default.
fn unstated<T>(compile: impl FnOnce(&mut Reader, &Node) -> T) -> T {
    let mut reader = Reader::new(Moment { unix_ms: 0 });
    compile(&mut reader, &Node::empty_map())
}
