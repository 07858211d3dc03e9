//! Why a flag is off although its server has it on.

/// What keeps a flag from being compiled, so that it is off; in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);
