//! A DNS server of the tests' own; the gateway is pointed to it by `SERIN_DNS`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::until;

/// What is said about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// These addresses, to be kept for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// SRV records, kept for a second: priority, weight, port and target.
    Services(Vec<(u16, u16, u16, String)>),
    /// NXDOMAIN: there is no such name.
    Missing,
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

impl Lookup {
    /// One address, kept for a second.
    pub(crate) fn address(address: impl Into<IpAddr>) -> Self {
        Self::Addresses(vec![address.into()], 1)
    }
}

#[derive(Default)]
struct Book {
    names: HashMap<String, Lookup>,
    asked: HashMap<String, usize>,
}

/// A server on a free UDP port of 127.0.0.1. A name it was told nothing about is missing.
pub(crate) struct Dns {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    running: AbortHandle,
}

impl Dns {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = socket.local_addr().expect("an address");
        let book = Arc::new(Mutex::new(Book::default()));
        let answers = book.clone();
        let serve = async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.expect("a datagram");
                let response = answer(&mut lock(&answers), &buffer[..length]);
                if let Some(response) = response {
                    socket.send_to(&response, peer).await.expect("it is sent");
                }
            }
        };
        Self {
            address,
            book,
            running: tokio::spawn(serve).abort_handle(),
        }
    }

    /// Its address, as `SERIN_DNS` takes it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says from now on this about a name.
    pub(crate) fn set(&self, name: &str, lookup: Lookup) {
        lock(&self.book).names.insert(name.to_owned(), lookup);
    }

    /// Waits until the name has been asked for `more` more times: what was said before has then been heard.
    pub(crate) async fn await_asked(&self, name: &str, more: usize) {
        let enough = self.asked(name) + more;
        let what = format!("{more} more look-ups of {name}");
        until(&what, || (self.asked(name) >= enough).then_some(())).await;
    }

    /// How often the name has been asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        lock(&self.book).asked.get(name).copied().unwrap_or(0)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(book: &mut Book, datagram: &[u8]) -> Option<Vec<u8>> {
    let request = Message::from_vec(datagram).ok()?;
    let query = request.queries.first()?.clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
    *book.asked.entry(name.clone()).or_default() += 1;
    let mut response = Message::response(request.metadata.id, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    match book.names.get(&name).unwrap_or(&Lookup::Missing) {
        Lookup::Addresses(addresses, ttl) => {
            for address in addresses {
                let data = match (address, query.query_type()) {
                    (IpAddr::V4(v4), RecordType::A) => RData::A(A(*v4)),
                    (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(*v6)),
                    _ => continue,
                };
                response.add_answer(Record::from_rdata(query.name().clone(), *ttl, data));
            }
        }
        Lookup::Services(services) => {
            for (priority, weight, port, target) in services {
                let target = target.parse().expect("a name");
                let data = RData::SRV(SRV::new(*priority, *weight, *port, target));
                response.add_answer(Record::from_rdata(query.name().clone(), 1, data));
            }
        }
        Lookup::Missing => response.metadata.response_code = ResponseCode::NXDomain,
        Lookup::Failure => response.metadata.response_code = ResponseCode::ServFail,
        Lookup::Silence => return None,
    }
    response.to_vec().ok()
}
