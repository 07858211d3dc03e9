//! `logging`.

use crate::config::keys::LOGGING;
use crate::config::keys::process::logging as keys;
use crate::config::keys::process::logging::{LoggedRequests, LoggedUser};
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::{AccessPolicy, Logging, UserIdPolicy};

/// A shorter key can be guessed, and with it every user ID.
const SHORTEST_KEY: usize = 16;

/// Compiles `logging`.
pub fn compile(reader: &mut Reader, root: &Node) -> Logging {
    let logging = LOGGING.node(root);
    Logging {
        level: keys::LEVEL.read(reader, logging),
        format: keys::FORMAT.read(reader, logging),
        access: access(reader, logging),
        user_id: user_id(reader, logging),
        expose_request_id: keys::EXPOSE_REQUEST_ID.read(reader, logging),
    }
}

fn access(reader: &mut Reader, logging: Option<&Node>) -> AccessPolicy {
    let share = keys::SAMPLE.read(reader, logging);
    let policy = match keys::ACCESS.read(reader, logging) {
        LoggedRequests::Off => AccessPolicy::Off,
        LoggedRequests::All => AccessPolicy::All,
        LoggedRequests::Sampled => return AccessPolicy::Sampled(share),
    };
    if let Some(node) = keys::SAMPLE.node(logging) {
        reader.problems.warning(
            node.span,
            "`sample` means nothing without `access: sampled`",
        );
    }
    policy
}

fn user_id(reader: &mut Reader, logging: Option<&Node>) -> UserIdPolicy {
    let key = keys::HASH_KEY.node(logging);
    let policy = match (keys::USER_ID.read(reader, logging), key) {
        (LoggedUser::Hash, Some(_)) => return hash(reader, logging),
        (LoggedUser::Hash, None) => return UserIdPolicy::HashUnderOwnKey,
        (LoggedUser::Plain, _) => UserIdPolicy::Plain,
        (LoggedUser::Omit, _) => UserIdPolicy::Omit,
    };
    if let Some(key) = key {
        reader
            .problems
            .follow_up(key.span, "`hash_key` means nothing without `user_id: hash`");
    }
    policy
}

fn hash(reader: &mut Reader, logging: Option<&Node>) -> UserIdPolicy {
    let (Some(key), Some(node)) = (
        keys::HASH_KEY.read(reader, logging),
        keys::HASH_KEY.node(logging),
    ) else {
        return UserIdPolicy::Omit;
    };
    if key.len() < SHORTEST_KEY {
        let message =
            format!("this key has fewer than {SHORTEST_KEY} characters and can be guessed");
        reader.problems.warning(node.span, message);
    }
    UserIdPolicy::Hash(key.as_bytes().into())
}
