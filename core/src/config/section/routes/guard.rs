//! What a route lets in.

use ipnet::IpNet;

use super::browsers;
use crate::config::keys::routes::guard as keys;
use crate::config::keys::routes::guard::PerWord;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::rate::Rate;
use crate::route::guard::{Guard, Networks, Per, RateLimit, Upgrade};

/// Compiles the keys of a route that say what it lets in.
pub(super) fn compile(reader: &mut Reader, route: &Node) -> Guard {
    Guard {
        networks: networks(reader, route),
        rate_limit: keys::RATE_LIMIT
            .node(route)
            .and_then(|node| rate_limit(reader, node)),
        body_bytes: keys::BODY_BYTES.read(reader, route),
        refuses_websockets: !keys::UPGRADE
            .read(reader, route)
            .contains(&Upgrade::WebSocket),
        cors: browsers::cors(reader, route),
        security_headers: browsers::security_headers(reader, route),
    }
}

fn networks(reader: &mut Reader, route: &Node) -> Networks {
    if let Some(list) = keys::ALLOW.node(route)
        && matches!(&list.value, Value::List(items) if items.is_empty())
    {
        reader
            .problems
            .error(list.span, "this route lets nobody in")
            .hint("for clients from everywhere leave `allow` out");
    }
    let mut read = |list: &[Node]| -> Vec<IpNet> {
        let networks = list.iter();
        networks.filter_map(|node| reader.network(node)).collect()
    };
    Networks {
        allow: read(keys::ALLOW.items(route)),
        deny: read(keys::DENY.items(route)),
    }
}

fn rate_limit(reader: &mut Reader, node: &Node) -> Option<RateLimit> {
    let per = keys::PER.node(node).and_then(|node| per(reader, node));
    let requests = keys::REQUESTS.read(reader, node);
    let window = keys::WINDOW.read(reader, node);
    let burst = keys::BURST.read(reader, node);
    let rate = Rate {
        requests: requests?,
        window,
        burst: burst.unwrap_or(requests?.get()),
    };
    Some(RateLimit::new(per?, rate))
}

fn per(reader: &mut Reader, node: &Node) -> Option<Per> {
    match node.scalar() {
        Some(scalar) if scalar.is_placeholder() => Some(Per::Route),
        // The structure check notes other words.
        Some(scalar) => keys::PER_WORDS
            .meaning(scalar.text())
            .map(|word| match word {
                PerWord::User => Per::User,
                PerWord::Address => Per::Address,
                PerWord::Route => Per::Route,
            }),
        None => keys::PER_HEADER.read(reader, node).map(Per::Header),
    }
}
