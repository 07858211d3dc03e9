//! Where configuration and flags come from.

pub mod environment;
