//! One immutable, consistent whole that requests are decided on, and the cell it is swapped in.

pub mod assemble;
pub mod capacity;
pub mod changes;
mod claims;
mod deployments;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod mirror;
mod names;
pub mod offline;
mod recorded;
pub mod registration;
#[cfg(any(test, feature = "testing"))]
pub mod sample;
pub mod seniority;
mod services;
pub mod standing;
pub mod store;
pub mod withdrawn;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::canary::{Withdrawal, WithdrawalFlag};
use crate::cluster::policy::UpstreamPolicy;
use crate::cluster::{Cluster, DeploymentName, UpstreamUrl};
use crate::config::attribution::Lanes;
use crate::config::client_api::ClientApiConfig;
use crate::config::traces::TracingConfig;
use crate::config::{Logging, ShutoffResponse, Traffic};
use crate::context::Moment;
use crate::context::schema::ContextSchema;
use crate::digest::Digest;
use crate::engine::source::SourceSet;
use crate::engine::{Flag, PerVariant, VariantRef};
use crate::flag::Glob;
use crate::identity;
use crate::indexed::{Indexed, index};
use crate::meter::{DecisionMeter, DeploymentMeter, RouteMeter, ServiceMeter};
use crate::route::RouteIndex;
use crate::route::router::Router;
use changes::{Rebucketed, Taking};
pub use deployments::{DeploymentIndex, Deployments, STABLE};
use mirror::Mirror;
use registration::RegisteredUrl;
pub use services::Services;

/// Everything a request is decided on.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number in this process, from 1.
    pub generation: u64,
    /// Its content's hash.
    pub digest: Digest,
    /// The routes; finds a request's.
    pub router: Arc<Router>,
    /// The services.
    pub services: Services,
    /// Every flag, by name; of several with one name, the one whose source comes first.
    pub flags: Vec<Arc<Flag>>,
    /// What the flag servers said, in order of precedence.
    pub sources: Vec<FlagSource>,
    /// Which field a name means that flags look at.
    pub vocabulary: Arc<ContextSchema>,
    /// Who the user is.
    pub identity: identity::Rules,
    /// What clients are answered here; `None`: nothing is.
    pub client_api: Option<Arc<ClientApiConfig>>,
    /// Whether lanes are followed.
    pub lanes: Lanes,
    /// What the access log is told.
    pub logging: Logging,
    /// How much one client may take.
    pub traffic: Traffic,
    /// Which requests are told as spans, and to whom; `None`: none are.
    pub tracing: Option<Arc<TracingConfig>>,
    /// The figures of the routes that have any, by their place in the router; empty where none has.
    pub route_meters: Vec<Option<Arc<RouteMeter>>>,
    /// Counts requests that no route takes.
    pub unrouted: Arc<DeploymentMeter>,
    /// What is odd about it, for people: check, log and status.
    pub warnings: Vec<String>,
    /// Running flags that lately began to bucket their users anew.
    pub rebucketed: Vec<Arc<Rebucketed>>,
    /// Flags that lately began to take users from running canaries.
    pub taking: Vec<Arc<Taking>>,
}

/// What one flag server said.
#[derive(Clone, Debug)]
pub struct FlagSource {
    /// The server's name in the configuration.
    pub name: Arc<str>,
    /// Its flags as it sent them; `None`: it has never answered, and nothing is stored.
    pub set: Option<Arc<SourceSet>>,
}

/// What a caller wants ("search").
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Its deployments.
    pub deployments: Deployments,
    /// The flags that are its canaries, in order of precedence.
    pub canaries: Arc<[Glob]>,
    /// Its canary flags, in order of precedence.
    pub candidates: Indexed<CandidateIndex, Candidate>,
    /// Whether a flag server that has never answered could have canary flags of it.
    pub awaits_flags: bool,
    /// Whether an anonymous user's session ID could ever be hashed here.
    pub uses_session: bool,
    /// The flag that cuts users off from it.
    pub shutoff: Option<Shutoff>,
    /// Who gets copies of its requests.
    pub mirror: Option<Mirror>,
    /// How its upstreams are spoken to.
    pub upstream: UpstreamPolicy,
    /// Its figures.
    pub meter: Arc<ServiceMeter>,
}

index!(
    /// The position of a flag in [`Service::candidates`].
    CandidateIndex
);

/// One running version of a service.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// `stable`, the flag's name, or `flag:variant`.
    pub name: Arc<str>,
    /// The same as a header value.
    pub header: http::HeaderValue,
    /// The member that is added to `baggage`: `serin.<service>=<deployment>`, percent-encoded.
    pub baggage: http::HeaderValue,
    /// Its addresses.
    pub cluster: Arc<Cluster>,
    /// Its flag's mark; `None`: it is stable, which nobody withdraws.
    pub mark: Option<Arc<WithdrawalFlag>>,
    /// Its figures.
    pub meter: Arc<DeploymentMeter>,
}

/// A canary flag of a service.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The flag.
    pub flag: Arc<Flag>,
    /// The position of the first entry of the service's `canaries` that matches it.
    pub rank: usize,
    /// How many of the service's flags were seen running before it; `None`: it has not been seen running.
    pub seniority: Option<usize>,
    /// Its deployments.
    pub deployments: SmallVec<[DeploymentIndex; 2]>,
    /// Why its canaries get no users, whatever it says.
    pub withdrawn: Option<Withdrawal>,
    /// When the first of the registrations that it uses ends: from that moment on its canaries get no users.
    pub until: Option<Moment>,
    /// Whether a registration that it uses has not passed its first health check: its canaries get no users until all have.
    pub is_checking: bool,
    /// The upstreams of its canaries that the flag itself does not carry.
    pub registered: Vec<RegisteredUrl>,
    /// Where a user goes who is on without a variant.
    pub default_arm: Arm,
    /// Where a user goes by variant.
    pub variants: PerVariant<Arm>,
}

/// A service's shutoff: users whom the flag is on for are answered without it.
#[derive(Clone, Debug)]
pub struct Shutoff {
    /// The flag's name.
    pub name: Arc<str>,
    /// The flag; `None`: there is no flag of that name now, and so nobody is cut off.
    pub flag: Option<Arc<Flag>>,
    /// What they are answered.
    pub respond: ShutoffResponse,
}

/// Where a variant leads, and what counts its decisions.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The deployment: [`STABLE`] for a control arm.
    pub deployment: DeploymentIndex,
    /// Counts the decisions.
    pub meter: Arc<DecisionMeter>,
}

impl Deployment {
    /// One that nobody withdraws.
    pub fn new(
        name: DeploymentName<'_>,
        cluster: Arc<Cluster>,
        meter: Arc<DeploymentMeter>,
    ) -> Self {
        Self {
            name: name.deployment.into(),
            header: names::header(name.deployment),
            baggage: names::baggage(name),
            cluster,
            mark: None,
            meter,
        }
    }

    /// Why it gets no requests now, whatever was decided; `None`: it gets them.
    pub fn withdrawal(&self) -> Option<Withdrawal> {
        self.mark.as_ref()?.get()
    }
}

impl Snapshot {
    /// A flag by its name.
    pub fn flag(&self, name: &str) -> Option<&Arc<Flag>> {
        let place = self.flags.binary_search_by(|flag| (*flag.name).cmp(name));
        self.flags.get(place.ok()?)
    }

    /// The figures of a route, if it has any.
    pub fn route_meter(&self, route: RouteIndex) -> Option<&RouteMeter> {
        self.route_meters.get(route.position())?.as_deref()
    }
}

impl Service {
    /// Its stable deployment.
    pub fn stable(&self) -> &Deployment {
        self.deployments.stable()
    }
}

impl Candidate {
    /// The arm that a variant of its flag leads to.
    pub fn arm(&self, variant: Option<VariantRef>) -> &Arm {
        let arm = variant.and_then(|variant| self.variants.get(variant));
        arm.unwrap_or(&self.default_arm)
    }

    /// Every arm: by variant, and without one.
    pub fn arms(&self) -> impl Iterator<Item = &Arm> {
        self.variants.iter().chain([&self.default_arm])
    }
}

/// Where the handles come from that snapshots point to and that outlive them: the same deployment with the same URL
/// gets the same cluster, so that a swap resets neither addresses nor connections.
pub trait ClusterProvider {
    /// The handle for one deployment. The addresses that it may have depend on who named it.
    fn cluster(
        &mut self,
        name: DeploymentName<'_>,
        url: &UpstreamUrl,
        named_by: NamedBy,
    ) -> Arc<Cluster>;

    /// The one mark of a flag's canaries in a service.
    fn mark(&mut self, service: &str, flag: &str) -> Arc<WithdrawalFlag>;
}

/// Who named an upstream. The platform's own names may lead to any address but this gateway's own listeners and metadata
/// addresses; a flag server's and a registrar's only where `canary_urls` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedBy {
    /// `routes.yaml`: a stable deployment's or a local flag's.
    Platform,
    /// A flag server's payload.
    Flag,
    /// A registration.
    Registration,
}
