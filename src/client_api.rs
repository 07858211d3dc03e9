//! What client apps and servers ask the gateway itself (`client_api`): Unleash's frontend and client APIs, OFREP, and
//! the caller's decisions, answered from the very snapshot that their requests are routed by.
//!
//! Nothing here sends or waits: a request becomes a [`Step`], and the proxy does as that says.

mod access;
mod backend;
mod catalogue;
mod decisions;
mod document;
mod endpoint;
mod events;
mod frontend;
mod limiter;
mod metrics;
mod ofrep;
mod reply;
mod subject;
mod usage;
mod wording;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::config::client_api::ClientApiConfig;
use crate::context::Moment;
use crate::quarantine::Quarantine;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;
use crate::source::unleash::ClientUses;
use catalogue::FlagCatalog;
pub use endpoint::Endpoint;
pub use events::{KEEP_ALIVE, Stream};
use frontend::SuppliedContext;
use limiter::Limiter;
pub use metrics::ApiMetrics;
pub use reply::Reply;
use subject::{Said, Subject};

/// How many streams of events may be open.
const STREAMS: usize = 4096;
/// After how many seconds a client that found every stream taken may try again.
const PATIENCE: u64 = 30;

/// What outlives snapshots.
pub struct ClientApi {
    /// What is counted.
    pub metrics: ApiMetrics,
    limiter: Limiter,
    uses: Arc<ClientUses>,
    streams: Arc<Semaphore>,
    /// The flags of the snapshot that was asked last.
    catalogue: ArcSwapOption<Made>,
    /// Held by who makes a catalogue, so that only one does.
    making: Mutex<()>,
}

struct Made {
    generation: u64,
    catalogue: Arc<FlagCatalog>,
}

/// A request for the client API.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The snapshot that the answer is taken from.
    pub snapshot: &'a Arc<Snapshot>,
    /// The snapshot's configuration of this API.
    pub config: &'a ClientApiConfig,
    /// The request's head.
    pub head: &'a RequestHead<'a>,
    /// Whether the client came by HTTPS.
    pub https: bool,
    /// Which users are spared which canary.
    pub quarantine: &'a Quarantine,
    /// When.
    pub moment: Moment,
    /// The same by the clock that quarantines go by.
    pub now: Instant,
}

/// What is to be done next.
pub enum Step {
    /// This is the answer.
    Answer(Reply),
    /// The body is to be read, up to so many bytes, and then [`ClientApi::answer`] to be asked.
    Read(usize),
    /// The client is to be told of changes until it goes.
    Stream(Stream, Reply),
}

impl ClientApi {
    /// Of a gateway that has not been asked anything. Clients' reports go to `uses`.
    pub fn new(uses: Arc<ClientUses>, now: Instant) -> Self {
        Self {
            metrics: ApiMetrics::default(),
            limiter: Limiter::new(now),
            uses,
            streams: Arc::new(Semaphore::new(STREAMS)),
            catalogue: ArcSwapOption::empty(),
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
    pub fn admit(&self, asked: &Asked<'_>, rest: &str) -> (Endpoint, Step) {
        let (endpoint, _) = Endpoint::find(rest);
        let origin = access::origin(asked.config, asked.head);
        let client = asked.snapshot.identity.client_address(asked.head);
        let admitted = match self.limiter.take(client, asked.config.rate, asked.now) {
            Err(wait) => {
                let why = "this address asks too often";
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let reply = Reply::later(StatusCode::TOO_MANY_REQUESTS, why, seconds);
                (endpoint, Err(reply))
            }
            Ok(()) if access::is_preflight(asked.head.method, asked.head.headers) => {
                let reply = access::preflight(endpoint, asked.head, origin);
                (Endpoint::Preflight, Err(reply))
            }
            Ok(()) => (endpoint, self.step(asked, endpoint)),
        };
        match admitted {
            (endpoint, Ok(Step::Stream(stream, mut reply))) => {
                access::share(&mut reply, origin);
                (endpoint, Step::Stream(stream, reply))
            }
            (endpoint, Ok(step)) => (endpoint, step),
            (endpoint, Err(mut reply)) => {
                access::share(&mut reply, origin);
                (endpoint, Step::Answer(reply))
            }
        }
    }

    /// Answers a request that was admitted, with its body.
    pub fn answer(&self, asked: &Asked<'_>, rest: &str, body: &[u8]) -> Reply {
        let mut reply = self.answered(asked, rest, body);
        access::share(&mut reply, access::origin(asked.config, asked.head));
        reply
    }

    /// Refuses a request whose body is too large, or took too long to come.
    pub fn refuse(&self, asked: &Asked<'_>, status: StatusCode, why: &str) -> Reply {
        let mut reply = Reply::error(status, why);
        access::share(&mut reply, access::origin(asked.config, asked.head));
        reply
    }

    /// What takes long to make and is not made yet for this snapshot: to be done where nobody else waits for it.
    pub fn preparation(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        endpoint: Endpoint,
    ) -> Option<impl FnOnce() + Send + use<>> {
        let wants_document = endpoint == Endpoint::Features;
        let inline = backend::wants_inline(asked.head.headers);
        let made = self.made(asked.snapshot.generation);
        let is_there = made.is_some_and(|catalogue| {
            let [with_segments, inlined] = &catalogue.documents;
            let document = if inline { inlined } else { with_segments };
            !wants_document || document.get().is_some()
        });
        let (api, snapshot) = (self.clone(), asked.snapshot.clone());
        (!is_there).then_some(move || {
            let Some(config) = snapshot.client_api.as_deref() else {
                return;
            };
            let catalogue = api.catalogue(&snapshot, config);
            if wants_document {
                backend::document_of(&snapshot, &catalogue, inline);
            }
        })
    }

    fn step(&self, asked: &Asked<'_>, endpoint: Endpoint) -> Result<Step, Reply> {
        if endpoint == Endpoint::Unknown {
            let why = "there is nothing at this path";
            return Err(Reply::error(StatusCode::NOT_FOUND, why));
        }
        if !endpoint.takes(asked.head.method) {
            return Err(Reply::wrong_method(endpoint.methods()));
        }
        access::authorize(asked.config, endpoint.audience(), asked.head)?;
        if endpoint == Endpoint::OfrepEvents {
            events::verify(asked)?;
            let seat = self.streams.clone().try_acquire_owned().map_err(|_| {
                let why = "too many streams are open";
                Reply::later(StatusCode::SERVICE_UNAVAILABLE, why, PATIENCE)
            })?;
            let stream = Stream {
                digest: asked.snapshot.digest,
                _seat: seat,
            };
            return Ok(Step::Stream(stream, Stream::head()));
        }
        Ok(Step::Read(match asked.head.method {
            "POST" => endpoint.body_limit(),
            _ => 0,
        }))
    }

    fn answered(&self, asked: &Asked<'_>, rest: &str, body: &[u8]) -> Reply {
        let catalogue = || self.catalogue(asked.snapshot, asked.config);
        let (endpoint, key) = Endpoint::find(rest);
        match endpoint {
            Endpoint::Frontend | Endpoint::FrontendAll => {
                match SuppliedContext::read(asked, body) {
                    Ok(wish) => {
                        let subject = self.subject(asked, wish.said);
                        let all = endpoint == Endpoint::FrontendAll;
                        frontend::answer(asked, &catalogue(), &subject, &wish.only, all)
                    }
                    Err(reply) => reply,
                }
            }
            Endpoint::FrontendMetrics | Endpoint::Metrics => {
                usage::report(asked.snapshot, &self.uses, body)
            }
            Endpoint::FrontendRegister | Endpoint::Register => usage::register(body),
            Endpoint::Features => backend::features(asked, &catalogue()),
            Endpoint::OfrepFlag => self.one_flag(asked, &key.unwrap_or_default(), body),
            Endpoint::OfrepFlags => match ofrep::read(body) {
                Ok(said) => ofrep::all(asked, &catalogue(), &self.subject(asked, said)),
                Err(misread) => misread.reply(None),
            },
            Endpoint::Decisions => {
                decisions::answer(asked, &asked.snapshot.identity.identify(asked.head))
            }
            Endpoint::OfrepEvents | Endpoint::Preflight | Endpoint::Unknown => {
                Reply::empty(StatusCode::NOT_FOUND)
            }
        }
    }

    fn one_flag(&self, asked: &Asked<'_>, key: &str, body: &[u8]) -> Reply {
        let catalogue = self.catalogue(asked.snapshot, asked.config);
        let Some(entry) = catalogue.find(key) else {
            return ofrep::not_found(key);
        };
        match ofrep::read(body) {
            Ok(said) => ofrep::one(asked, entry, &self.subject(asked, said)),
            Err(misread) => misread.reply(Some(key)),
        }
    }

    fn subject<'a>(&self, asked: &Asked<'a>, said: Said) -> Subject<'a> {
        let own = asked.snapshot.identity.identify(asked.head);
        let subject = Subject::new(own, said, &asked.snapshot.vocabulary);
        if subject.disagrees {
            self.metrics.disagreements.inc();
        }
        subject
    }

    fn made(&self, generation: u64) -> Option<Arc<FlagCatalog>> {
        let made = self.catalogue.load();
        let made = made.as_ref().filter(|made| made.generation == generation)?;
        Some(made.catalogue.clone())
    }

    /// The catalogue of a snapshot. A request that still holds an older one than another has asked for makes its own.
    fn catalogue(&self, snapshot: &Snapshot, config: &ClientApiConfig) -> Arc<FlagCatalog> {
        if let Some(made) = self.made(snapshot.generation) {
            return made;
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.made(snapshot.generation) {
            return made;
        }
        let catalogue = Arc::new(FlagCatalog::of(snapshot, config));
        self.catalogue.store(Some(Arc::new(Made {
            generation: snapshot.generation,
            catalogue: catalogue.clone(),
        })));
        catalogue
    }
}

impl Asked<'_> {
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
