//! `logging`.

use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::{AccessPolicy, Level, LogFormat, Logging, UserIdPolicy};
use crate::flag::Share;

/// One request in a hundred.
const SAMPLE: u16 = 100;

/// A shorter key can be guessed, and with it every user ID.
const SHORTEST_KEY: usize = 16;

/// Compiles `logging`.
pub fn compile(reader: &mut Reader, root: &Node) -> Logging {
    let logging = root.get("logging");
    let key = |name: &str| logging.and_then(|logging| logging.get(name));
    Logging {
        level: match reader.word(key("level")) {
            Some("error") => Level::Error,
            Some("warn") => Level::Warn,
            Some("debug") => Level::Debug,
            Some("trace") => Level::Trace,
            _ => Level::Info,
        },
        format: match reader.word(key("format")) {
            Some("text") => LogFormat::Text,
            _ => LogFormat::Json,
        },
        access: access(reader, key("access"), key("sample")),
        user_id: user_id(reader, key("user_id"), key("hash_key")),
        expose_request_id: key("expose_request_id")
            .and_then(|node| reader.bool(node))
            .unwrap_or(true),
    }
}

fn access(reader: &mut Reader, access: Option<&Node>, sample: Option<&Node>) -> AccessPolicy {
    let share = sample
        .and_then(|node| reader.share(node))
        .or(Share::new(SAMPLE))
        .unwrap_or(Share::ALL);
    let policy = match reader.word(access) {
        Some("off") => AccessPolicy::Off,
        Some("all") => AccessPolicy::All,
        _ => return AccessPolicy::Sampled(share),
    };
    if let Some(node) = sample {
        reader.problems.warning(
            node.span,
            "`sample` means nothing without `access: sampled`",
        );
    }
    policy
}

fn user_id(reader: &mut Reader, policy: Option<&Node>, key: Option<&Node>) -> UserIdPolicy {
    let word = reader.word(policy);
    if let (Some("plain" | "omit"), Some(key)) = (word, key) {
        reader
            .problems
            .follow_up(key.span, "`hash_key` means nothing without `user_id: hash`");
    }
    match (word, key) {
        (Some("plain"), _) => UserIdPolicy::Plain,
        (Some("omit"), _) => UserIdPolicy::Omit,
        (_, Some(key)) => hash(reader, key),
        (_, None) => UserIdPolicy::HashUnderOwnKey,
    }
}

fn hash(reader: &mut Reader, node: &Node) -> UserIdPolicy {
    let Some(key) = reader.name(node) else {
        return UserIdPolicy::Omit;
    };
    if key.len() < SHORTEST_KEY {
        let message =
            format!("this key has fewer than {SHORTEST_KEY} characters and can be guessed");
        reader.problems.warning(node.span, message);
    }
    UserIdPolicy::Hash(key.as_bytes().into())
}
