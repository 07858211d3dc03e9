//! Where in a Redis Cluster everything stands. All keys have the same hash tag, so that one master has all of them, and a plain
//! connection to it does everything; when another node becomes that master, it is found in the same way.

use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, Value};
use tokio::time::timeout;

use super::client::{RedisFailure, client, info};
use crate::config::redis::{RedisConfig, RedisUrl};

/// How long one node may take to say where things are.
const ASKING: Duration = Duration::from_millis(600);
/// How many nodes are remembered, and asked at most.
const MOST: usize = 64;

/// The nodes that were found, and whose turn it is to be asked first.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    found: Vec<ConnectionAddr>,
    turn: usize,
}

/// What one node says.
struct Topology {
    master: ConnectionAddr,
    nodes: Vec<ConnectionAddr>,
}

impl Nodes {
    /// The master that has a key. A node that cannot be reached, or is cut off from the others, does not decide: the next one is
    /// asked, and with each call it is another one's turn to begin.
    pub(super) async fn master_of(
        &mut self,
        key: &str,
        config: &RedisConfig,
        stated: &[RedisUrl],
    ) -> Result<ConnectionInfo, RedisFailure> {
        let stated = stated.iter().map(info);
        let mut seeds: Vec<ConnectionInfo> = stated.collect::<Result<_, _>>()?;
        let Some(pattern) = seeds.first().cloned() else {
            return Err(RedisFailure::Odd);
        };
        for address in &self.found {
            if !seeds.iter().any(|seed| seed.addr() == address) {
                seeds.push(pattern.clone().set_addr(address.clone()));
            }
        }
        let turn = self.turn % seeds.len();
        seeds.rotate_left(turn);
        self.turn = turn + 1;
        let mut failure = RedisFailure::Odd;
        for seed in seeds.into_iter().take(MOST) {
            let asked = timeout(ASKING, ask(config, seed, key)).await;
            match asked.unwrap_or(Err(RedisFailure::Silent(ASKING))) {
                Ok(topology) => {
                    self.found = topology.nodes;
                    self.found.truncate(MOST);
                    return Ok(pattern.set_addr(topology.master));
                }
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }
}

/// Asks one node.
async fn ask(
    config: &RedisConfig,
    seed: ConnectionInfo,
    key: &str,
) -> Result<Topology, RedisFailure> {
    let address = seed.addr().clone();
    let client = client(config, seed).await?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (state, slot, ranges): (String, i64, Vec<Vec<Value>>) = redis::pipe()
        .cmd("CLUSTER")
        .arg("INFO")
        .cmd("CLUSTER")
        .arg("KEYSLOT")
        .arg(key)
        .cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut connection)
        .await?;
    if !state.lines().any(|line| line.trim() == "cluster_state:ok") {
        return Err(RedisFailure::Cluster(
            "a node of the cluster says that this is down, or cannot see most of it",
        ));
    }
    let mut master = None;
    let mut nodes = Vec::new();
    for range in ranges {
        let mut range = range.into_iter();
        let (Some(Value::Int(first)), Some(Value::Int(last))) = (range.next(), range.next()) else {
            return Err(RedisFailure::Odd);
        };
        let here: Vec<_> = range.filter_map(|node| located(&address, node)).collect();
        if (first..=last).contains(&slot) {
            // A master comes before its replicas.
            master = here.first().cloned();
        }
        nodes.extend(here);
    }
    nodes.dedup();
    let master = master.ok_or(RedisFailure::Cluster("no node of the cluster has our keys"))?;
    Ok(Topology { master, nodes })
}

/// The address of a node, in the words of the one that was asked.
fn located(asked: &ConnectionAddr, node: Value) -> Option<ConnectionAddr> {
    let Value::Array(node) = node else {
        return None;
    };
    let mut node = node.into_iter();
    let host: Option<String> = redis::from_redis_value(node.next()?).ok()?;
    let port: u16 = redis::from_redis_value(node.next()?).ok()?;
    // One that does not know its own name is where it was asked.
    let host = host.filter(|host| !host.is_empty() && host != "?");
    match asked.clone() {
        ConnectionAddr::Tcp(here, _) => Some(ConnectionAddr::Tcp(host.unwrap_or(here), port)),
        ConnectionAddr::TcpTls {
            host: here,
            insecure,
            tls_params,
            ..
        } => Some(ConnectionAddr::TcpTls {
            host: host.unwrap_or(here),
            port,
            insecure,
            tls_params,
        }),
        _ => None,
    }
}
