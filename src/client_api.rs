//! The API that client apps and servers call on the gateway itself (`client_api`): Unleash's frontend and client APIs,
//! OFREP, and the caller's decisions, answered from the snapshot that routes their requests.
//!
//! This module neither sends nor waits: it answers a request with a [`NextStep`], which the proxy carries out.

mod access;
mod backend;
mod channel;
mod decisions;
mod document;
mod endpoint;
mod evaluation;
mod events;
mod flag_catalog;
mod frontend;
mod limiter;
mod metrics;
mod ofrep;
mod rendering;
mod reply;
mod subject;
mod usage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::config::client_api::ClientApiConfig;
use crate::context::{Context, Moment};
use crate::identity::Auth;
use crate::identity::token::ShownToken;
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::request::RequestHead;
use crate::served::ServedMemory;
use crate::snapshot::Snapshot;
use crate::source::unleash::ClientUses;
pub use endpoint::Endpoint;
pub use events::{KEEP_ALIVE, Stream};
use flag_catalog::FlagCatalog;
use frontend::SuppliedContext;
use limiter::Limiter;
pub use metrics::ApiMetrics;
pub use reply::Reply;
use subject::{ClaimedUser, Subject};

/// How many streams of events may be open.
const STREAMS: usize = 4096;
/// After how many seconds a client that found every stream taken may try again.
const PATIENCE: u64 = 30;

/// The state of the API that outlives snapshots.
pub struct ClientApi {
    /// What is counted.
    pub metrics: ApiMetrics,
    limiter: Limiter,
    uses: Arc<ClientUses>,
    streams: Arc<Semaphore>,
    /// The catalog of the snapshot that answered last.
    catalog: ArcSwapOption<Made>,
    /// Held while a catalog is made, so that only one request makes it.
    making: Mutex<()>,
}

struct Made {
    generation: u64,
    catalog: Arc<FlagCatalog>,
}

/// A request for the client API.
#[derive(Clone, Copy)]
pub struct ApiRequest<'a> {
    /// The snapshot that the answer is taken from.
    pub snapshot: &'a Arc<Snapshot>,
    /// The snapshot's configuration of this API.
    pub config: &'a ClientApiConfig,
    /// The request's head.
    pub head: &'a RequestHead<'a>,
    /// The token that it shows.
    pub token: &'a ShownToken,
    /// Whether the client came by HTTPS.
    pub https: bool,
    /// Which users are spared which canary.
    pub quarantine: &'a Quarantine,
    /// What reads the receipts that clients show.
    pub receipts: Option<&'a Receipts>,
    /// Who served whom.
    pub served: &'a ServedMemory,
    /// When.
    pub moment: Moment,
    /// The same by the clock that quarantines go by.
    pub now: Instant,
}

/// What the proxy does next.
pub enum NextStep {
    /// Send this answer.
    Answer(Reply),
    /// Read the body, up to so many bytes, and call [`ClientApi::answer`] with it.
    Read(usize),
    /// Tell the client of changes until it goes.
    Stream(Stream, Reply),
}

impl ClientApi {
    /// The API of a gateway that has had no request yet. Clients' reports go to `uses`.
    pub fn new(uses: Arc<ClientUses>, now: Instant) -> Self {
        Self {
            metrics: ApiMetrics::default(),
            limiter: Limiter::new(now),
            uses,
            streams: Arc::new(Semaphore::new(STREAMS)),
            catalog: ArcSwapOption::empty(),
            making: Mutex::new(()),
        }
    }

    /// How clients used flags.
    pub fn uses(&self) -> &Arc<ClientUses> {
        &self.uses
    }

    /// How many streams of events are open.
    pub fn open_streams(&self) -> usize {
        STREAMS.saturating_sub(self.streams.available_permits())
    }

    /// Looks at a request whose path goes on with `rest` behind the API's own: who asks, how often, and for what.
    pub fn admit(&self, request: &ApiRequest<'_>, rest: &str) -> (Endpoint, NextStep) {
        let (endpoint, _) = Endpoint::find(rest);
        let origin = access::origin(request.config, request.head);
        let client = request.snapshot.identity.client_address(request.head);
        let admitted = match self.limiter.take(client, request.config.rate, request.now) {
            Err(wait) => {
                let why = "this address asks too often";
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let reply = Reply::later(StatusCode::TOO_MANY_REQUESTS, why, seconds);
                (endpoint, Err(reply))
            }
            Ok(()) if access::is_preflight(request.head.method, request.head.headers) => {
                let reply = access::preflight(endpoint, request.head, origin);
                (Endpoint::Preflight, Err(reply))
            }
            Ok(()) => (endpoint, self.step(request, endpoint)),
        };
        match admitted {
            (endpoint, Ok(NextStep::Stream(stream, mut reply))) => {
                access::share(&mut reply, origin);
                (endpoint, NextStep::Stream(stream, reply))
            }
            (endpoint, Ok(step)) => (endpoint, step),
            (endpoint, Err(mut reply)) => {
                access::share(&mut reply, origin);
                (endpoint, NextStep::Answer(reply))
            }
        }
    }

    /// Answers a request that was admitted, with its body.
    pub fn answer(&self, request: &ApiRequest<'_>, rest: &str, body: &[u8]) -> Reply {
        let mut reply = self.answered(request, rest, body);
        access::share(&mut reply, access::origin(request.config, request.head));
        reply
    }

    /// Refuses a request whose body is too large, or took too long to come.
    pub fn refuse(&self, request: &ApiRequest<'_>, status: StatusCode, why: &str) -> Reply {
        let mut reply = Reply::error(status, why);
        access::share(&mut reply, access::origin(request.config, request.head));
        reply
    }

    /// The slow work that must precede answers from this snapshot, if it is not done yet. The caller does it where no other
    /// request waits for it.
    pub fn preparation(
        self: &Arc<Self>,
        request: &ApiRequest<'_>,
        endpoint: Endpoint,
    ) -> Option<impl FnOnce() + Send + use<>> {
        let wants_document = endpoint == Endpoint::Features;
        let inline = backend::wants_inline(request.head.headers);
        let made = self.made(request.snapshot.generation);
        let is_there = made.is_some_and(|catalog| {
            let [with_segments, inlined] = &catalog.documents;
            let document = if inline { inlined } else { with_segments };
            !wants_document || document.get().is_some()
        });
        let (api, snapshot) = (self.clone(), request.snapshot.clone());
        (!is_there).then_some(move || {
            let Some(config) = snapshot.client_api.as_deref() else {
                return;
            };
            let catalog = api.catalog(&snapshot, config);
            if wants_document {
                backend::document_of(&snapshot, &catalog, inline);
            }
        })
    }

    fn step(&self, request: &ApiRequest<'_>, endpoint: Endpoint) -> Result<NextStep, Reply> {
        if endpoint == Endpoint::Unknown {
            let why = "there is nothing at this path";
            return Err(Reply::error(StatusCode::NOT_FOUND, why));
        }
        if !endpoint.takes(request.head.method) {
            return Err(Reply::wrong_method(endpoint.methods()));
        }
        access::authorize(request.config, endpoint.audience(), request.head)?;
        if endpoint == Endpoint::OfrepEvents {
            events::verify(request)?;
            let seat = self.streams.clone().try_acquire_owned().map_err(|_| {
                let why = "too many streams are open";
                Reply::later(StatusCode::SERVICE_UNAVAILABLE, why, PATIENCE)
            })?;
            let stream = Stream {
                digest: request.snapshot.digest,
                _seat: seat,
            };
            return Ok(NextStep::Stream(stream, Stream::head()));
        }
        Ok(NextStep::Read(match request.head.method {
            "POST" => endpoint.body_limit(),
            _ => 0,
        }))
    }

    fn answered(&self, request: &ApiRequest<'_>, rest: &str, body: &[u8]) -> Reply {
        let catalog = || self.catalog(request.snapshot, request.config);
        let (endpoint, key) = Endpoint::find(rest);
        match endpoint {
            Endpoint::Frontend | Endpoint::FrontendAll => {
                match SuppliedContext::read(request, body) {
                    Ok(wish) => {
                        let subject = self.subject(request, wish.said);
                        let all = endpoint == Endpoint::FrontendAll;
                        frontend::answer(request, &catalog(), &subject, &wish.only, all)
                    }
                    Err(reply) => reply,
                }
            }
            Endpoint::FrontendMetrics | Endpoint::Metrics => {
                usage::report(request.snapshot, &self.uses, body)
            }
            Endpoint::FrontendRegister | Endpoint::Register => usage::register(body),
            Endpoint::Features => backend::features(request, &catalog()),
            Endpoint::OfrepFlag => self.one_flag(request, &key.unwrap_or_default(), body),
            Endpoint::OfrepFlags => match ofrep::read(body) {
                Ok(said) => ofrep::all(request, &catalog(), &self.subject(request, said)),
                Err(misread) => misread.reply(None),
            },
            Endpoint::Decisions => decisions::answer(request, &request.identity()),
            Endpoint::Channel => channel::answer(request, body),
            Endpoint::ReceiptKeys => match request.receipts {
                Some(receipts) => Reply::json(StatusCode::OK, receipts.key_set().to_string()),
                None => Reply::error(StatusCode::NOT_FOUND, "no receipts are issued here"),
            },
            Endpoint::OfrepEvents | Endpoint::Preflight | Endpoint::Unknown => {
                Reply::empty(StatusCode::NOT_FOUND)
            }
        }
    }

    fn one_flag(&self, request: &ApiRequest<'_>, key: &str, body: &[u8]) -> Reply {
        let catalog = self.catalog(request.snapshot, request.config);
        let Some(entry) = catalog.find(key) else {
            return ofrep::not_found(key);
        };
        match ofrep::read(body) {
            Ok(said) => ofrep::one(request, entry, &self.subject(request, said)),
            Err(misread) => misread.reply(Some(key)),
        }
    }

    fn subject<'a>(&self, request: &ApiRequest<'a>, said: ClaimedUser) -> Subject<'a> {
        let own = request.identity();
        let subject = Subject::new(own, said, &request.snapshot.vocabulary);
        if subject.disagrees {
            self.metrics.disagreements.inc();
        }
        subject
    }

    fn made(&self, generation: u64) -> Option<Arc<FlagCatalog>> {
        let made = self.catalog.load();
        let made = made.as_ref().filter(|made| made.generation == generation)?;
        Some(made.catalog.clone())
    }

    /// The catalog of a snapshot. A request that holds an older snapshot than the last one to ask makes its own.
    fn catalog(&self, snapshot: &Snapshot, config: &ClientApiConfig) -> Arc<FlagCatalog> {
        if let Some(made) = self.made(snapshot.generation) {
            return made;
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.made(snapshot.generation) {
            return made;
        }
        let catalog = Arc::new(FlagCatalog::of(snapshot, config));
        self.catalog.store(Some(Arc::new(Made {
            generation: snapshot.generation,
            catalog: catalog.clone(),
        })));
        catalog
    }
}

impl<'a> ApiRequest<'a> {
    /// Whom the request itself is from.
    fn identity(&self) -> Context<'a> {
        let rules = &self.snapshot.identity;
        rules.identify(self.head, self.token, Auth::Optional)
    }

    /// The versions that the client has.
    fn if_none_match(&self) -> Option<&str> {
        self.head.headers.text("if-none-match")
    }
}

impl std::fmt::Debug for ClientApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientApi").finish_non_exhaustive()
    }
}
