//! Flags, compiled: rules as data, and their evaluation. No I/O, no clock, no randomness.
//!
//! One form serves every source: a local flag's ring is a [`Ring`], and so is an Unleash strategy or a LaunchDarkly rule.

pub mod bucketing;
pub mod compile_context;
pub mod condition;
pub mod evaluate;
pub mod evaluation;
pub mod flag;
pub mod murmur3;
pub mod origin;
pub mod reach;
pub mod source;
pub mod trace;
pub mod unleash;
pub mod variants;

pub use bucketing::{Bucketing, LaunchDarklySalt};
pub use condition::Segment;
pub use flag::{
    About, Dependency, Flag, ParentState, PerVariant, Ring, RingIndex, Rollout, VariantRef,
};
pub use origin::{AudienceKind, Origin, UnleashDocument};
pub use variants::{
    CanaryUrl, Override, Payload, STABLE, Stickiness, Variant, VariantIndex, Variants,
};

#[cfg(test)]
mod tests;
