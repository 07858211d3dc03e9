//! Tests of the built binary: real clients through it to real servers. One file a paragraph of the contract.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken assumption of a test is a failed test"
)]

mod admin;
mod appearing;
mod blame;
mod capacity;
mod cli;
mod clients;
mod compose;
mod demo;
mod deploy;
mod dns;
mod drain;
mod faults;
mod floors;
mod framing;
mod grpc;
mod half_closed;
mod harness;
mod health;
mod hop;
mod identity;
mod kills;
mod lifecycle;
mod limits;
mod logs;
mod multiplexed;
mod order;
mod paths;
mod quarantine;
mod readme;
mod recovery;
mod reload;
mod rescue;
mod routing;
mod sample;
mod service_manager;
mod service_owners;
mod shutoff;
mod sources;
mod split;
mod streaming;
mod swaps;
mod timeouts;
mod unleash;
mod upstreams;
