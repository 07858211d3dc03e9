//! A copy on its way.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use crate::clock;
use crate::meter::mirror::MirrorPlace;
use crate::mirror::MirrorPolicy;
use crate::route::ServiceIndex;
use crate::snapshot::{Deployment, DeploymentIndex, Service, Snapshot};

/// A request as a shadow gets it.
#[derive(Debug)]
pub struct ShadowRequest {
    /// What the request was decided on.
    pub snapshot: Arc<Snapshot>,
    /// Its service.
    pub service: ServiceIndex,
    /// The shadow.
    pub shadow: DeploymentIndex,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: Box<str>,
    /// The host that it names.
    pub host: HeaderValue,
    /// Its other header fields, none of which is about a connection or frames a message.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Whether it is a call of gRPC or a stream of Connect: what came of it stands behind the messages of the answer, and is
    /// not compared.
    pub is_rpc: bool,
    /// Its ID, for the log.
    pub request_id: HeaderValue,
    /// Its place among the copies of its service.
    pub place: MirrorPlace,
}

impl ShadowRequest {
    /// Whether its answer is compared with stable's.
    pub fn compares(&self) -> bool {
        !self.is_rpc && self.policy().is_some_and(|policy| policy.compare)
    }

    /// Whether the shadow has been withdrawn: then it gets nothing any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.service().is_withdrawn(self.shadow, clock::now())
    }

    pub(super) fn service(&self) -> &Service {
        self.snapshot.services.get(self.service)
    }

    pub(super) fn deployment(&self) -> &Deployment {
        self.service().deployments.get(self.shadow)
    }

    pub(super) fn policy(&self) -> Option<&MirrorPolicy> {
        let mirror = self.service().mirror.as_ref();
        mirror.map(|mirror| &*mirror.policy)
    }
}
