//! The keys of `client_api`.

use super::{DURATION, Key, Shape, TEXT, TEXTS, Text, key, map, required, text};

pub(super) static CLIENT_API: Shape = map(&CLIENT_API_KEYS);

static CLIENT_API_KEYS: [Key; 6] = [
    required(
        "path",
        "Where it is on every listener, as in /.serin; no route gets what is below it.",
        &TEXT,
    ),
    key(
        "tokens",
        "For apps (/api/frontend, OFREP); secrets: write ${CLIENT_TOKEN}.",
        &TEXTS,
    ),
    key(
        "backend_tokens",
        "For servers (/api/client): they get whole flags, upstream URLs too; secrets.",
        &TEXTS,
    ),
    key(
        "cors",
        "The origins whose pages may ask, as in https://app.example.com; default none.",
        &TEXTS,
    ),
    key(
        "flags",
        "Which flags apps may see: names and globs; default all.",
        &TEXTS,
    ),
    key(
        "rate_limit",
        "How often one address may ask, else 429; default 100 a second, and 200 at once.",
        &RATE_LIMIT,
    ),
];

static RATE_LIMIT: Shape = map(&RATE_LIMIT_KEYS);

static RATE_LIMIT_KEYS: [Key; 3] = [
    required("requests", "How often in a window.", &REQUESTS),
    key("window", "The window; default 1s.", &DURATION),
    key(
        "burst",
        "How often at once; default twice `requests`.",
        &REQUESTS,
    ),
];

static REQUESTS: Shape = text(Text::Integer(1, 1_000_000));
