//! One look-up of a name: `/etc/hosts` first, then A and AAAA at once.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

/// The variable that names DNS servers in place of `/etc/resolv.conf`: `ip:port`, several with commas.
pub const SERVERS_VARIABLE: &str = "SERIN_DNS";

/// One question to one server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The whole look-up, over servers, search domains and aliases.
const DEADLINE: Duration = Duration::from_secs(10);
/// How much longer the second address family may take than the first that has addresses (RFC 8305, section 3,
/// speaks of a resolution delay; no request waits here, so ours is more generous).
const GRACE: Duration = Duration::from_millis(300);
/// How long what `/etc/hosts` says is believed before the file is read again.
const HOSTS_TTL: Duration = Duration::from_secs(10);

/// Looks names up.
pub struct Dns {
    resolver: TokioResolver,
}

/// The addresses of one family; at least one.
pub type Family = Result<Vec<IpAddr>, Missing>;

/// Why a family has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// In words.
    pub why: String,
    /// Whether a server said so; else there was no usable answer.
    pub certain: bool,
}

/// The addresses that a look-up of a host found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    /// Of A records.
    pub v4: Family,
    /// Of AAAA records.
    pub v6: Family,
    /// How long it may be believed.
    pub ttl: Duration,
}

/// Where a service is offered, as an SRV record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// The host, as a name that ends in a dot: it is looked up as it stands.
    pub target: Box<str>,
    /// The port there.
    pub port: u16,
    /// Lower comes first.
    pub priority: u16,
    /// The part among those of the same priority.
    pub weight: u16,
}

impl From<&SRV> for SrvRecord {
    fn from(srv: &SRV) -> Self {
        Self {
            target: srv.target.to_lowercase().to_ascii().into(),
            port: srv.port,
            priority: srv.priority,
            weight: srv.weight,
        }
    }
}

/// Why there can be no look-ups.
#[derive(Debug, thiserror::Error)]
pub enum DnsSetupError {
    /// A server's address cannot be read.
    #[error("{SERVERS_VARIABLE}: {0:?} is not an address with a port, as in 127.0.0.1:53")]
    Server(String),
    /// The resolver refuses its settings.
    #[error("the DNS resolver cannot be set up: {0}")]
    Resolver(#[source] NetError),
}

impl Dns {
    /// With the servers of [`SERVERS_VARIABLE`], or those of `/etc/resolv.conf` when it is `None`.
    pub fn new(servers: Option<&str>) -> Result<Self, DnsSetupError> {
        let (config, options) = match servers {
            Some(list) => (with_servers(list)?, ResolverOpts::default()),
            None => hickory_resolver::system_conf::read_system_conf().unwrap_or_else(|error| {
                // As resolv.conf(5) has it: without the file, the server on this machine.
                tracing::warn!(%error, "no usable /etc/resolv.conf; asking 127.0.0.1 for names");
                let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
                let config = ResolverConfig::from_parts(None, vec![], vec![local]);
                (config, ResolverOpts::default())
            }),
        };
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = ours(options);
        let resolver = builder.build().map_err(DnsSetupError::Resolver)?;
        Ok(Self { resolver })
    }

    /// Looks a name up now.
    pub async fn look_up(&self, name: &str) -> HostAddresses {
        if let Some(answer) = from_hosts(&Hosts::from_system().unwrap_or_default(), name) {
            return answer;
        }
        let v4 = pin!(self.family(name, RecordType::A));
        let v6 = pin!(self.family(name, RecordType::AAAA));
        let both = both(v4, v6);
        let ((v4, ttl4), (v6, ttl6)) = tokio::time::timeout(DEADLINE, both)
            .await
            .unwrap_or_else(|_| (late(), late()));
        let ttl = ttl4.into_iter().chain(ttl6).min().unwrap_or_default();
        HostAddresses { v4, v6, ttl }
    }

    /// Looks a name's SRV records up now; at least one, with how long they may be believed.
    pub async fn look_up_services(
        &self,
        name: &str,
    ) -> Result<(Vec<SrvRecord>, Duration), Missing> {
        let asked = self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) if !srv.target.is_root() => Some(SrvRecord::from(srv)),
            // A root stands for "this service is not offered here" (RFC 2782).
            _ => None,
        });
        let answer = tokio::time::timeout(DEADLINE, asked).await;
        let (records, ttl) = answer.unwrap_or_else(|_| late());
        Ok((records?, ttl.unwrap_or_default()))
    }

    async fn family(&self, name: &str, records: RecordType) -> FamilyResult {
        self.ask(name, records, RData::ip_addr).await
    }

    /// What the records of a type say, as far as `read` can use it.
    async fn ask<T>(
        &self,
        name: &str,
        records: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> FoundRecords<T> {
        // The task that asks keeps the answer for as long as it holds; a second memory below would only
        // make it older than it says.
        self.resolver.clear_lookup_cache(name, records);
        let none = match records {
            RecordType::SRV => "no SRV record",
            _ => "no address",
        };
        let lookup = match self.resolver.lookup(name, records).await {
            Ok(lookup) => lookup,
            Err(NetError::Dns(DnsError::NoRecordsFound(found))) => {
                return match found.response_code {
                    ResponseCode::NXDomain => missing("no such name", true),
                    ResponseCode::NoError => missing(none, true),
                    code => missing(code.to_string(), false),
                };
            }
            Err(error) => return missing(error.to_string(), false),
        };
        let answers = lookup.answers().iter();
        let ttl = answers.clone().map(|record| record.ttl).min();
        let found: Vec<T> = answers.filter_map(|record| read(&record.data)).collect();
        if found.is_empty() {
            return missing(none, true);
        }
        let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into()));
        (Ok(found), ttl)
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

/// A family and its records' shortest time to live.
type FamilyResult = FoundRecords<IpAddr>;

/// What was found, at least one, and the records' shortest time to live.
type FoundRecords<T> = (Result<Vec<T>, Missing>, Option<Duration>);

/// Waits for both families, but for the second only a little once the first has addresses.
async fn both<A, B>(mut v4: Pin<&mut A>, mut v6: Pin<&mut B>) -> (FamilyResult, FamilyResult)
where
    A: Future<Output = FamilyResult>,
    B: Future<Output = FamilyResult>,
{
    tokio::select! {
        first = &mut v4 => {
            let second = second(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = second(&first, v4).await;
            (second, first)
        }
    }
}

async fn second<F: Future<Output = FamilyResult>>(
    first: &FamilyResult,
    other: Pin<&mut F>,
) -> FamilyResult {
    match first.0 {
        Ok(_) => tokio::time::timeout(GRACE, other)
            .await
            .unwrap_or_else(|_| late()),
        Err(_) => other.await,
    }
}

fn late<T>() -> FoundRecords<T> {
    missing("no answer in time", false)
}

fn missing<T>(why: impl Into<String>, certain: bool) -> FoundRecords<T> {
    let why = why.into();
    (Err(Missing { why, certain }), None)
}

/// What the hosts file says of a name, if it names it at all: then DNS is not asked, as in every C library.
fn from_hosts(hosts: &Hosts, name: &str) -> Option<HostAddresses> {
    let name = Name::from_utf8(name).ok()?;
    let family = |records| {
        let lookup = hosts.lookup_static_host(&Query::query(name.clone(), records))?;
        let answers = lookup.answers().iter();
        let addresses: Vec<IpAddr> = answers.filter_map(|record| record.data.ip_addr()).collect();
        (!addresses.is_empty()).then_some(addresses)
    };
    let (v4, v6) = (family(RecordType::A), family(RecordType::AAAA));
    if v4.is_none() && v6.is_none() {
        return None;
    }
    let absent = || missing("not in the hosts file", true).0;
    Some(HostAddresses {
        v4: v4.map_or_else(absent, Ok),
        v6: v6.map_or_else(absent, Ok),
        ttl: HOSTS_TTL,
    })
}

fn with_servers(list: &str) -> Result<ResolverConfig, DnsSetupError> {
    let server = |text: &str| -> Result<NameServerConfig, DnsSetupError> {
        let address: SocketAddr = text
            .trim()
            .parse()
            .map_err(|_| DnsSetupError::Server(text.to_owned()))?;
        let on_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        let connections = vec![
            on_port(ConnectionConfig::udp()),
            on_port(ConnectionConfig::tcp()),
        ];
        Ok(NameServerConfig::new(address.ip(), true, connections))
    };
    let servers = list.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
    Ok(ResolverConfig::from_parts(None, vec![], servers))
}

fn ours(mut options: ResolverOpts) -> ResolverOpts {
    options.timeout = TIMEOUT;
    // Counted here are the attempts after the first.
    options.attempts = 1;
    // `look_up` reads the file itself: a name that is there with one family must not ask DNS for the other.
    options.use_hosts_file = ResolveHosts::Never;
    options.negative_max_ttl = Some(Duration::ZERO);
    options
}
