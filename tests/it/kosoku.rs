//! The cases of Autobahn for WebSockets (`tests/kosoku`): through Serin they end as they do without.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

use crate::harness::Gateway;
use crate::harness::sdk::Sdk;
use crate::harness::wire::WireStream;

/// What becomes of the cases at an address, by their numbers.
async fn verdicts(address: SocketAddr) -> Value {
    let told = Sdk::of("tests/kosoku", "verdicts.py", &[&address.to_string()]);
    told.line().await
}

/// A port that leads to an address by the run's wire: these clients do not encrypt.
async fn leads_to(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let own = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut gateway = WireStream::connect(address).await;
                // How it ends is the verdicts' affair.
                let _ = copy_bidirectional(&mut client, &mut gateway).await;
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_are_what_they_are_without() {
    let echo = Sdk::of("tests/kosoku", "echo.py", &[]);
    let port = echo.line().await["port"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("a port");
    let config =
        format!("services: {{ echo: 'http://127.0.0.1:{port}' }}\nroutes: [{{ service: echo }}]\n");
    let gateway = Gateway::start(config).await;
    let without = verdicts(([127, 0, 0, 1], port).into()).await;
    let through = verdicts(leads_to(gateway.address()).await).await;
    let cases = without.as_object().expect("verdicts by case");
    assert!(cases.len() > 200, "{} cases", cases.len());
    for (case, verdict) in cases {
        assert_eq!(&through[case], verdict, "{case}");
    }
}
