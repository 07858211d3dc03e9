mod faults;
pub(crate) mod fixture;
mod flags;
mod kept;

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Publisher, PublisherHandle};
use crate::config::AccessPolicy;
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::telemetry::metrics::MeterRegistry;
use fixture::config;

fn start() -> PublisherHandle {
    let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
    let clusters = ClusterManager::new(dns, Handle::current(), Box::default());
    let first = config("http://127.0.0.1:81", 1);
    Publisher::start(
        Arc::new(first),
        Vec::new(),
        clusters,
        MeterRegistry::default(),
        Kills::in_memory(),
        &Handle::current(),
    )
}

#[tokio::test]
async fn an_update_is_a_new_generation_that_everybody_hears_of() {
    let publisher = start();
    let mut generation = publisher.generation();
    assert_eq!(*generation.borrow_and_update(), 1);
    let pinned = publisher.store().load();

    let published = publisher.publish(config("http://127.0.0.1:82", 2)).await;
    let published = published.unwrap();
    assert_eq!((published.generation, published.is_new), (2, true));
    assert!(published.changes.is_empty(), "no flag is another");
    generation.changed().await.unwrap();
    assert_eq!(*generation.borrow(), 2);
    assert_eq!(publisher.store().load().generation, 2);
    assert_eq!(pinned.generation, 1, "what a request has loaded stays");
}

#[tokio::test]
async fn what_changes_nothing_is_no_generation() {
    let publisher = start();
    let same = publisher.publish(config("http://127.0.0.1:81", 1)).await;
    assert_eq!(same.map(|published| published.is_new), Ok(false));
    let mut quieter = config("http://127.0.0.1:81", 1);
    quieter.logging.access = AccessPolicy::Off;
    let logging = publisher.publish(quieter).await;
    assert_eq!(logging.map(|published| published.generation), Ok(2));
    let mut stricter = config("http://127.0.0.1:81", 1);
    stricter.logging.access = AccessPolicy::Off;
    stricter.traffic.connections = Some(7);
    let limits = publisher.publish(stricter).await;
    assert_eq!(limits.map(|published| published.generation), Ok(3));
    assert_eq!(publisher.store().load().traffic.connections, Some(7));
}

#[tokio::test]
async fn a_swap_resets_neither_clusters_nor_figures() {
    let publisher = start();
    let before = publisher.store().load();
    before.services[0].deployments.canaries()[0]
        .meter
        .served
        .inc(200);
    publisher
        .publish(config("http://127.0.0.1:82", 2))
        .await
        .unwrap();
    let after = publisher.store().load();
    let (before, after) = (
        before.services[0].deployments.iter().collect::<Vec<_>>(),
        after.services[0].deployments.iter().collect::<Vec<_>>(),
    );
    assert!(Arc::ptr_eq(&before[1].cluster, &after[1].cluster));
    assert!(
        !Arc::ptr_eq(&before[0].cluster, &after[0].cluster),
        "another URL"
    );
    assert!(Arc::ptr_eq(&before[0].meter, &after[0].meter));
    assert_eq!(after[1].meter.served.counts().next(), Some((200, 1)));
}
