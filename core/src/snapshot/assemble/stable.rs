//! Where a service's stable deployment is: in `routes.yaml`, else where one of the service's flags says.

use std::sync::Arc;

use crate::cluster::UpstreamUrl;
use crate::config::ServiceConfig;
use crate::engine::Flag;
use crate::snapshot::{NamedBy, recorded};

/// Where a service's stable deployment is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableUrl {
    /// Where it is.
    pub url: UpstreamUrl,
    /// Who says so.
    pub named_by: NamedBy,
}

impl StableUrl {
    /// Finds it. `flags` are the service's, in order of precedence: the first that records a URL counts. When none
    /// does, `last_known` stays, so that a flag that is archived takes no service down.
    pub(super) fn find(
        service: &ServiceConfig,
        flags: &[&Arc<Flag>],
        last_known: Option<&Self>,
        warnings: &mut Vec<String>,
    ) -> Self {
        if let Some(url) = &service.stable {
            return Self {
                url: url.clone(),
                named_by: NamedBy::Platform,
            };
        }
        let mut recorded = flags
            .iter()
            .flat_map(|flag| recorded::stables(flag).map(move |url| (&flag.name, url)));
        let name = &service.name;
        let (url, named_by) = match (recorded.next(), last_known) {
            (Some((flag, url)), _) => {
                if let Some((other, differs)) = recorded.find(|(_, other)| *other != url) {
                    warnings.push(format!(
                        "{flag} and {other} record different stable deployments of {name}, {url} and {differs}: the first counts"
                    ));
                }
                (url, NamedBy::Flag)
            }
            (None, Some(known)) => {
                warnings.push(format!(
                    "no flag records the stable deployment of {name} any more: the last one known stays, {}",
                    known.url
                ));
                (&known.url, known.named_by)
            }
            (None, None) => {
                warnings.push(format!(
                    "nothing says where the stable deployment of {name} is, neither routes.yaml nor a flag: requests for it are answered 503"
                ));
                (&UpstreamUrl::NOWHERE, NamedBy::Flag)
            }
        };
        Self {
            url: url.clone(),
            named_by,
        }
    }
}
