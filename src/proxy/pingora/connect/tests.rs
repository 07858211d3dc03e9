use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora::ErrorType;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket;
use tokio::net::TcpListener;

use super::{Connector, Terms};
use crate::cluster::{
    AddressGate, AddressRefusal, Cluster, DeploymentName, NoopListener, UpstreamUrl,
};
use crate::meter::ServiceMeter;
use crate::proxy::metrics::ConnectionFigures;

/// Lets connections through, until it is shut.
#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
}

impl AddressGate for Gate {
    fn judge(&self, _: &UpstreamUrl, _: SocketAddr) -> Result<(), AddressRefusal> {
        match self.is_shut.load(Ordering::Relaxed) {
            true => Err(AddressRefusal::OwnListener),
            false => Ok(()),
        }
    }
}

fn cluster(address: SocketAddr, gate: &Arc<Gate>) -> Arc<Cluster> {
    let (service, deployment) = ("search", "search.x");
    let name = DeploymentName {
        service,
        deployment,
    };
    let url = format!("http://{address}").parse().unwrap();
    Cluster::gated(1, name, url, Arc::new(NoopListener), gate.clone())
}

#[tokio::test]
async fn an_attempt_that_had_its_endpoint_before_less_was_allowed_does_not_connect() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Arc::new(Gate::default());
    let cluster = cluster(address, &gate);
    let (meter, figures) = <(Arc<ServiceMeter>, Arc<ConnectionFigures>)>::default();
    let terms = Terms {
        most: 10,
        most_of_all: 10,
        timeout: Duration::from_secs(5),
    };
    let connector = Connector::of(&cluster, &meter, terms, &figures);
    let to = socket::SocketAddr::Inet(address);
    let stream = connector.connect(&to).await.unwrap();
    let (_taken, _) = listener.accept().await.unwrap();
    assert_eq!(figures.upstream.get(), 1);
    gate.is_shut.store(true, Ordering::Relaxed);
    let refused = connector.connect(&to).await.err().unwrap();
    assert_eq!(*refused.etype(), ErrorType::ConnectError, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("listener of this gateway's own"),
        "{refused}"
    );
    // The one that was made before stays, and only that one is counted.
    assert_eq!(figures.upstream.get(), 1);
    gate.is_shut.store(false, Ordering::Relaxed);
    let again = connector.connect(&to).await.unwrap();
    let (_taken_too, _) = listener.accept().await.unwrap();
    drop((stream, again));
    assert_eq!(figures.upstream.get(), 0);
}

#[test]
fn a_worker_has_one_connector_for_a_cluster_and_its_terms() {
    let gate = Arc::new(Gate::default());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let (one, two) = (cluster(address, &gate), cluster(address, &gate));
    let (meter, figures) = <(Arc<ServiceMeter>, Arc<ConnectionFigures>)>::default();
    let terms = Terms {
        most: 10,
        most_of_all: 10,
        timeout: Duration::from_secs(5),
    };
    let of = |cluster, terms| Connector::of(cluster, &meter, terms, &figures);
    let first = of(&one, terms);
    assert!(Arc::ptr_eq(&first, &of(&one, terms)));
    assert!(!Arc::ptr_eq(&first, &of(&two, terms)));
    assert!(!Arc::ptr_eq(&first, &of(&one, Terms { most: 11, ..terms })));
}
