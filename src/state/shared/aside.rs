//! Connections beside the one that state is shared over, so that no kill waits for what is large.

use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use super::client::{RedisFailure, client, info};
use super::cluster::Nodes;
use super::wire::Names;
use crate::config::redis::{RedisConfig, RedisUrls};

/// Connects to where Serin's keys are. `patience` is how long each answer may take.
pub(super) async fn connect(
    config: &RedisConfig,
    patience: Duration,
) -> Result<(MultiplexedConnection, Names), RedisFailure> {
    let names = Names::new(&config.prefix);
    let info = match &config.url {
        RedisUrls::One(url) => info(url)?,
        RedisUrls::Cluster(urls) => {
            let mut nodes = Nodes::default();
            nodes.master_of(&names.probe(), config, urls).await?
        }
    };
    let client = client(config, info).await?;
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    let connecting = client.get_multiplexed_async_connection_with_config(&settings);
    Ok((connecting.await?, names))
}
