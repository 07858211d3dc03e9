//! The keys of `unleash`.

use super::{DURATION, Key, Shape, TEXT, Text, key, later, map, required, text, word};

/// One server, or a list of them.
pub(super) static UNLEASH: Shape = Shape {
    list: Some(&SERVER),
    ..map(&SERVER_KEYS)
};

static SERVER: Shape = map(&SERVER_KEYS);

static SERVER_KEYS: [Key; 7] = [
    required(
        "url",
        "Where its API is, as in http://unleash.default.svc:4242/api.",
        &TEXT,
    ),
    required(
        "token",
        "A backend token; a secret: write ${UNLEASH_TOKEN}.",
        &TEXT,
    ),
    key(
        "name",
        "What the source is called; default unleash, and each of several needs its own.",
        &TEXT,
    ),
    key(
        "app_name",
        "What Serin is called there; default serin.",
        &TEXT,
    ),
    key(
        "poll",
        "How often flags are asked for; default 15s.",
        &DURATION,
    ),
    key(
        "streaming",
        "auto (default): stream where the server offers it; always; never.",
        &STREAMING,
    ),
    later("admin_token"),
];

static STREAMING: Shape = text(Text::Word(&[word("auto"), word("always"), word("never")]));
