//! Lists of protocols that take the place of HTTP.

use super::words::Words;
use super::{Defaulted, Kind};
use crate::config::keys::shape::{Form, Shape, Written, list, text};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::route::guard::Upgrade;

/// Protocols that a request may ask for in place of HTTP.
#[derive(Debug)]
pub struct Upgrades;

static UPGRADES: Words<Upgrade> = Words(&[("websocket", Upgrade::WebSocket)]);

impl Kind for Upgrades {
    type Value = Vec<Upgrade>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Word(&UPGRADES));
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<Upgrade>> {
        let protocols = node.items().iter();
        let protocols = protocols.filter_map(|node| (&UPGRADES).read(reader, node));
        Some(protocols.collect())
    }
}

impl Defaulted for Upgrades {
    type Constant = &'static [Upgrade];

    fn value(&self, constant: Self::Constant) -> Vec<Upgrade> {
        constant.to_vec()
    }

    fn written(&self, constant: Self::Constant) -> Written {
        let names = constant.iter().map(|protocol| UPGRADES.name(*protocol));
        Written::List(names.map(str::to_owned).collect())
    }
}
