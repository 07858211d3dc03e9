use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::{FlagServers, FlagServersSetup, RefreshError, StoredSets};
use crate::config::Config;
use crate::config::flag_server::{ServerUrl, Streaming};
use crate::custody::Custody;
use crate::publisher::Publisher;
use crate::publisher::tests::fixture;
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::source::SourceStatuses;
use crate::telemetry::metrics::MeterRegistry;

/// A flag server that says one thing to everybody.
async fn server(said: Arc<Mutex<String>>) -> ServerUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            let body = said.lock().unwrap().clone();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    ServerUrl::parse(&url).unwrap()
}

/// An answer with one flag, whose canary is at this port.
fn answer(port: u16) -> String {
    format!(
        r#"{{"version":2,"features":[{{"name":"search.a","enabled":true,"strategies":[{{"name":"default",
           "variants":[{{"name":"canary","weight":1000,"stickiness":"userId",
           "payload":{{"type":"string","value":"http://127.0.0.1:{port}"}}}}]}}]}}]}}"#
    )
}

fn config(server: ServerUrl) -> Config {
    let mut config = fixture::config("http://127.0.0.1:81", 1);
    config.canary_urls.networks = vec!["127.0.0.0/8".parse().unwrap()];
    config.unleash = vec![fixture::server("unleash")];
    config.unleash[0].url = server;
    config.unleash[0].streaming = Streaming::Never;
    config
}

#[tokio::test]
async fn flags_are_followed_on_when_a_snapshot_cannot_be_made_of_them() {
    let said = Arc::new(Mutex::new(answer(9001)));
    let config = config(server(said.clone()).await);
    let dns = Dns::new(Some("127.0.0.1:9")).unwrap();
    let mut clusters = ClusterManager::new(dns, Handle::current(), Box::default());
    clusters.meanwhile = Some(Box::new(|url| assert_ne!(url.port(), 9666, "an odd port")));
    let publisher = Publisher::start(
        Arc::new(config.clone()),
        Vec::new(),
        clusters,
        MeterRegistry::default(),
        Kills::in_memory(),
        &Handle::current(),
    );
    let state = tempfile::tempdir().unwrap();
    let setup = FlagServersSetup {
        publisher: publisher.clone(),
        statuses: SourceStatuses::default(),
        state_dir: state.path().to_owned(),
        custody: Custody::default(),
        shared: None,
        client_uses: Arc::default(),
        control: Handle::current(),
    };
    let sources = setup.statuses.clone();
    let servers = FlagServers::start(setup, &config, StoredSets::default());
    servers.refresh("unleash").await.unwrap();
    let trouble = || sources.all()[1].last_error();
    assert_eq!(trouble(), None);
    let before = publisher.store().load().generation;

    *said.lock().unwrap() = answer(9666);
    for _ in 0..2 {
        match servers.refresh("unleash").await {
            Err(RefreshError::Failed(why)) => assert!(why.contains("an odd port"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(trouble().is_some_and(|why| why.contains("no snapshot could be made")));
        assert_eq!(
            publisher.store().load().generation,
            before,
            "what runs stays"
        );
    }

    *said.lock().unwrap() = answer(9002);
    let refreshed = servers.refresh("unleash").await.unwrap();
    assert!(refreshed.is_new, "{refreshed:?}");
    assert_eq!(trouble(), None);
    assert!(publisher.store().load().generation > before);
}
