//! `attribution`: who was really served by what, told to those who analyse.

/// `attribution`, as far as requests are decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributionConfig {
    /// `lanes`.
    pub lanes: Lanes,
}

/// Whether a request goes where a gateway before this one has sent its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// Where a trusted proxy's baggage says so.
    #[default]
    Follow,
    /// Never.
    Ignore,
}
