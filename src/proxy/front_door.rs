//! What takes a client's connection before pingora's HTTP proxy does: the place for limits and deadlines, and for a
//! faster path for plain HTTP/1.1.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp as _, HttpServerOptions, ServerApp};
use pingora::protocols::Stream;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use super::hooks::Proxy;

/// The application behind every listener, one for each worker.
pub struct FrontDoor {
    proxy: Arc<HttpProxy<Proxy>>,
}

impl FrontDoor {
    /// Builds pingora's proxy around the hooks. A proxy of its own gives each worker its own pool of upstream
    /// connections: none is ever woken on another thread.
    pub fn new(hooks: Proxy) -> Self {
        let conf = ServerConf {
            threads: 1,
            ..ServerConf::default()
        };
        let mut proxy = http_proxy(&Arc::new(conf), hooks);
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        Self {
            proxy: Arc::new(proxy),
        }
    }
}

#[async_trait]
impl ServerApp for FrontDoor {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        self.proxy.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
