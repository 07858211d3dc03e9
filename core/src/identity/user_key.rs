//! What stands for a user where users are told apart, without the ID itself.

/// Which of a user's IDs a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// The user's own.
    User,
    /// The session's: an anonymous user's.
    Session,
}

/// Stands for a user: the same on every gateway and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// Which ID it is of. A session is no user, even if their IDs are spelt alike.
    pub kind: IdKind,
    /// The hash of the ID.
    pub hash: u64,
}
