//! `redis`.

use std::path::PathBuf;

use crate::config::keys::REDIS;
use crate::config::keys::redis as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::redis::{RedisConfig, RedisTls, RedisUrl, RedisUrls};

/// What stands in for a placeholder.
const STAND_IN: &str = "redis://placeholder.invalid";

/// Compiles `redis`; `None`: nothing is shared.
pub fn compile(reader: &mut Reader, root: &Node) -> Option<RedisConfig> {
    let redis = REDIS.node(root)?;
    let node = keys::URL.node(redis);
    let url = node.and_then(|node| urls(reader, node));
    let prefix = keys::PREFIX.try_read(reader, redis);
    let tls = tls(reader, redis);
    let url = url?;
    if let Some(node) = keys::TLS.node(redis)
        && !url
            .all()
            .iter()
            .any(|url| url.is_tls() || url.expose() == STAND_IN)
    {
        reader
            .problems
            .error(node.span, "`tls` is for URLs that begin with rediss://")
            .hint("without TLS, state and passwords go over the network as they are");
    }
    Some(RedisConfig {
        url,
        prefix: prefix?,
        tls,
    })
}

fn urls(reader: &mut Reader, node: &Node) -> Option<RedisUrls> {
    if node.scalar().is_some() {
        return url(reader, node).map(RedisUrls::One);
    }
    let nodes = node.items();
    let urls: Vec<_> = nodes.iter().map(|node| url(reader, node)).collect();
    let urls: Vec<RedisUrl> = urls.into_iter().collect::<Option<_>>()?;
    let Some(first) = urls.first() else {
        reader
            .problems
            .error(node.span, "the list of a cluster's nodes is empty")
            .hint("name one node at least, by which the others are found");
        return None;
    };
    let mut is_sound = true;
    for (node, url) in nodes.iter().zip(&urls) {
        if url.database() != 0 {
            is_sound = false;
            reader
                .problems
                .error(node.span, "a Redis Cluster has no database but 0")
                .hint("a list names the nodes of one cluster; leave the number out");
        }
        let is_known = url.expose() != STAND_IN && first.expose() != STAND_IN;
        if is_known && url.is_tls() != first.is_tls() {
            is_sound = false;
            reader
                .problems
                .error(node.span, "redis:// and rediss:// cannot be mixed")
                .hint("the nodes of a cluster all speak TLS, or none of them does");
        }
    }
    is_sound.then_some(RedisUrls::Cluster(urls))
}

// Nothing of it is shown: there may be a password in it.
fn url(reader: &mut Reader, node: &Node) -> Option<RedisUrl> {
    let scalar = node.scalar().filter(|scalar| !scalar.is_nothing())?;
    let text = if scalar.is_placeholder() {
        STAND_IN
    } else {
        scalar.text().trim()
    };
    match RedisUrl::parse(text) {
        Ok(url) => Some(url),
        Err(hint) => {
            reader
                .problems
                .error(node.span, "this is not the URL of a Redis")
                .hint(hint);
            None
        }
    }
}

fn tls(reader: &mut Reader, redis: &Node) -> RedisTls {
    let Some(tls) = keys::TLS.node(redis) else {
        return RedisTls::default();
    };
    let ca: Option<PathBuf> = keys::CA.read(reader, tls);
    let certificate = keys::CLIENT_CERT.read(reader, tls);
    let key = keys::CLIENT_KEY.read(reader, tls);
    if keys::CLIENT_CERT.node(tls).is_some() != keys::CLIENT_KEY.node(tls).is_some() {
        reader
            .problems
            .error(tls.span, "`client_cert` and `client_key` need each other")
            .hint("state both, or none of them");
    }
    RedisTls {
        ca,
        client: certificate.zip(key),
    }
}
