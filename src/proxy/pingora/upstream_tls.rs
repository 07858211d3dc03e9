//! What pingora speaks TLS to upstreams with.
//!
//! pingora makes a configuration of its own for every connection to an upstream whose authority or client certificate is
//! stated, so that such a session is never resumed: connections are kept and reused instead. Where nothing is stated it
//! goes by the system's authorities, and resumes.

use std::cell::RefCell;
use std::sync::Arc;

use pingora::prelude::HttpPeer;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use crate::certificates::upstream::{self, ClientTls, Presented};
use crate::cluster::policy::UpstreamTls;

/// How many services' terms a worker keeps before it forgets them all and begins anew.
const KNOWN: usize = 256;

thread_local! {
    static TERMS: RefCell<Vec<Arc<Terms>>> = RefCell::default();
}

/// What a service states, as pingora takes it. Belongs to one worker.
struct Terms {
    stated: Arc<UpstreamTls>,
    /// Follows the files.
    tls: Arc<ClientTls>,
    /// [`Presented::id`].
    id: u64,
    authorities: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
}

impl Terms {
    fn new(stated: &Arc<UpstreamTls>, tls: Arc<ClientTls>, presented: &Presented) -> Self {
        // All of it has been parsed before: what cannot be is not presented.
        let authorities = presented.authorities.as_ref().map(|all| {
            let all = all.iter();
            all.map(|der| WrappedX509::new(der.to_vec(), parse_x509))
                .collect()
        });
        let client = presented.client.as_ref().map(|(chain, key)| {
            let chain = chain.iter().map(|der| der.to_vec()).collect();
            Arc::new(CertKey::new(chain, key.secret_der().to_vec()))
        });
        Self {
            stated: stated.clone(),
            tls,
            id: presented.id,
            authorities,
            client,
        }
    }
}

/// Puts into a peer what its service states. Tells such terms from all others; an error says why they cannot be met.
pub(super) fn state(peer: &mut HttpPeer, stated: &Arc<UpstreamTls>) -> Result<u64, String> {
    let terms = terms(stated)?;
    peer.options.ca.clone_from(&terms.authorities);
    peer.client_cert_key.clone_from(&terms.client);
    Ok(terms.id)
}

fn terms(stated: &Arc<UpstreamTls>) -> Result<Arc<Terms>, String> {
    TERMS.with_borrow_mut(|known| {
        let place = known.iter().position(|terms| terms.stated == *stated);
        let found = place.and_then(|place| known.get(place));
        let tls = match found {
            Some(terms) => terms.tls.clone(),
            None => upstream::of(stated),
        };
        let loaded = tls.presented();
        let presented = (**loaded)
            .as_ref()
            .map_err(|problems| upstream::told(problems))?;
        if let Some(terms) = found
            && terms.id == presented.id
        {
            return Ok(terms.clone());
        }
        let fresh = Arc::new(Terms::new(stated, tls.clone(), presented));
        known.retain(|terms| terms.stated != *stated);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.push(fresh.clone());
        Ok(fresh)
    })
}
