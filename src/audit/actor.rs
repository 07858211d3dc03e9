//! Who does something to a gateway.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::config::admin::Role;

/// The name of what a gateway does by itself.
const OWN_NAME: &str = "serin";

/// Who does something: a caller of the admin API, or the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The token's name; `None`: a caller without a token.
    pub name: Option<Arc<str>>,
    /// The caller's role; `None`: the gateway itself.
    pub role: Option<Role>,
    /// Where the caller is; `None`: the gateway itself.
    pub address: Option<IpAddr>,
}

/// An actor as the trail shows it.
#[derive(Debug, Serialize)]
pub(super) struct ActorView<'a> {
    name: Option<&'a str>,
    role: Option<&'static str>,
    address: Option<String>,
}

impl Actor {
    /// The gateway itself.
    pub fn gateway() -> Self {
        Self {
            name: Some(OWN_NAME.into()),
            role: None,
            address: None,
        }
    }

    /// The actor in a few words: the token's name and the address, or the one that there is.
    pub fn by(&self) -> String {
        let address = self.address.map(|address| address.to_canonical());
        match (&self.name, address) {
            (Some(name), Some(address)) => format!("{name} at {address}"),
            (None, Some(address)) => address.to_string(),
            (name, None) => name.as_deref().unwrap_or(OWN_NAME).to_owned(),
        }
    }
}

impl<'a> From<&'a Actor> for ActorView<'a> {
    fn from(actor: &'a Actor) -> Self {
        let address = actor.address.map(|address| address.to_canonical());
        Self {
            name: actor.name.as_deref(),
            role: actor.role.map(Role::as_str),
            address: address.map(|address| address.to_string()),
        }
    }
}
