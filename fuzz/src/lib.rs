//! What must hold of Serin whatever comes in: one check for each thing that others write and Serin reads.
//!
//! A check panics where something does not hold. libFuzzer drives it with inputs that it makes up (`make fuzz`), and `cargo test` with those in
//! `corpus/`, and with thousands that differ a little from them.

#![expect(
    clippy::expect_used,
    reason = "a check panics where something does not hold"
)]

pub mod baggage;
pub mod cookie;
pub mod flag_document;
pub mod host_and_path;
#[cfg(feature = "tokens")]
pub mod jwt;
pub mod override_token;
pub mod proxy_header;
mod request;
pub mod routes_yaml;

/// A check of one input.
pub type Check = fn(&[u8]);

/// The checks, by the names of their targets and corpora.
pub const CHECKS: &[(&str, Check)] = &[
    ("baggage", baggage::check),
    ("cookie", cookie::check),
    ("flag_document", flag_document::check),
    ("host_and_path", host_and_path::check),
    #[cfg(feature = "tokens")]
    ("jwt", jwt::check),
    ("override_token", override_token::check),
    ("proxy_header", proxy_header::check),
    ("routes_yaml", routes_yaml::check),
];
