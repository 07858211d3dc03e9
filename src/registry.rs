//! What people and pipelines have told Serin: in memory for those who ask, in the store for the next start.

pub mod flags;
pub mod kills;
pub mod registrations;
