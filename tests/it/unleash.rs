//! Flags from a real Unleash: what a product team does there is what users are routed by, whatever happens to it.

mod agreement;
mod outages;
mod own_server;
mod recording;
mod registered;
mod reports;
mod routing;
mod stage;
mod stored;
mod together;
