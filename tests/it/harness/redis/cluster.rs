//! A real Redis Cluster: three masters, and a replica of the one that has Serin's keys.

use std::net::Ipv4Addr;

use redis::FromRedisValue;
use socket2::Socket;

use super::{Redis, Server};
use crate::harness::{origin, until};

/// The keys' hash tag.
const TAG: &str = "{s}";
const RANGES: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// A running cluster.
pub(crate) struct Cluster {
    /// The masters at first, and then the replica.
    nodes: Vec<Redis>,
    /// The master that has Serin's keys at first.
    owner: usize,
    /// As [`Redis::reserved`], of the ports on which nodes speak to each other.
    _buses: Vec<Socket>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..4 {
            let bus = origin::bind((Ipv4Addr::LOCALHOST, 0).into());
            let address = bus
                .local_addr()
                .ok()
                .and_then(|address| address.as_socket());
            let port = address.expect("an address").port();
            nodes.push((start_node(port).await, port.to_string()));
            buses.push(bus);
        }
        for (index, ((node, _), (first, last))) in nodes.iter().zip(RANGES).enumerate() {
            node.ask::<String>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            let epoch = (index + 1).to_string();
            node.ask::<String>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        let (first, others) = nodes.split_first().expect("nodes");
        for (node, bus) in others {
            let port = node.port().to_string();
            first
                .0
                .ask::<String>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        let slot: i64 = first.0.ask(&["CLUSTER", "KEYSLOT", TAG]);
        let has_slot = |(first, last): &(&str, &str)| {
            (first.parse::<i64>().unwrap()..=last.parse::<i64>().unwrap()).contains(&slot)
        };
        let owner = RANGES.iter().position(has_slot).expect("an owner");
        let cluster = Self {
            nodes: nodes.into_iter().map(|(node, _)| node).collect(),
            owner,
            _buses: buses,
        };
        cluster.await_knowledge().await;
        let (owner, replica) = (cluster.owner(), cluster.replica());
        let id: String = owner.ask(&["CLUSTER", "MYID"]);
        replica.ask::<String>(&["CLUSTER", "REPLICATE", &id]);
        cluster.await_replica(replica).await;
        cluster
    }

    /// The master that has Serin's keys at first.
    pub(crate) fn owner(&self) -> &Redis {
        &self.nodes[self.owner]
    }

    /// The same, to end it or to start it again.
    pub(crate) fn owner_mut(&mut self) -> &mut Redis {
        &mut self.nodes[self.owner]
    }

    /// What is its replica at first.
    pub(crate) fn replica(&self) -> &Redis {
        &self.nodes[3]
    }

    /// Waits until a node has all that its master has.
    pub(crate) async fn await_replica(&self, replica: &Redis) {
        until("a replica", || {
            let said: String = replica.ask(&["INFO", "replication"]);
            said.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    async fn await_knowledge(&self) {
        for node in &self.nodes {
            until("a whole cluster", || {
                let said: String = node.ask(&["CLUSTER", "INFO"]);
                let is_whole = ["cluster_known_nodes:4", "cluster_state:ok"]
                    .iter()
                    .all(|part| said.contains(part));
                is_whole.then_some(())
            })
            .await;
        }
    }
}

impl Server for Cluster {
    /// Nobody is at the first, and the replica is for clients to find.
    fn url(&self) -> String {
        let masters = self.nodes.iter().take(3).map(Redis::address);
        let masters: Vec<String> = masters
            .map(|address| format!("redis://{address}"))
            .collect();
        format!("[redis://127.0.0.1:1, {}]", masters.join(", "))
    }

    fn shown(&self) -> String {
        let masters = self.nodes.iter().take(3).map(Redis::address);
        let masters: Vec<String> = masters
            .map(|address| format!("redis://{address}/0"))
            .collect();
        format!("redis://127.0.0.1:1/0, {}", masters.join(", "))
    }

    fn kill(&mut self) {
        self.nodes.iter_mut().for_each(Redis::kill);
    }

    async fn start_again(&mut self) {
        for node in &mut self.nodes {
            node.start_again().await;
        }
    }

    fn freeze(&self) {
        self.nodes.iter().for_each(Redis::freeze);
    }

    fn thaw(&self) {
        self.nodes.iter().for_each(Redis::thaw);
    }

    /// The node that has Serin's keys at first.
    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.owner().ask(command)
    }
}

async fn start_node(bus: u16) -> Redis {
    let bus = bus.to_string();
    Redis::start_with(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        "1000",
        "--cluster-replica-validity-factor",
        "0",
        "--repl-diskless-sync-delay",
        "0",
    ])
    .await
}
