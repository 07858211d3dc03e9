//! systemd's notification protocol: what a `Type=notify` service tells of itself.

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use crate::harness::{Gateway, Setup, in_time};

const CONFIG: &str = "
services: { search: http://127.0.0.1:9 }
routes: [{ service: search }, { path: /ping, respond: { body: pong } }]
";

/// A service manager that listens.
struct Manager {
    _folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    async fn start() -> (Self, Gateway) {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let path = path.to_str().expect("a path");
        let gateway = Setup::new(CONFIG).env("NOTIFY_SOCKET", path).start().await;
        let manager = Self {
            _folder: folder,
            socket,
        };
        (manager, gateway)
    }

    /// The lines of the next message.
    async fn hears(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = in_time("a notification", self.socket.recv(&mut buffer));
        let length = length.await.expect("a message");
        let message = std::str::from_utf8(&buffer[..length]).expect("text");
        message.lines().map(str::to_owned).collect()
    }

    /// A reload: its beginning with a monotonic time, its end with this status.
    async fn hears_a_reload(&self, status: &str) {
        let [reloading, at] = <[String; 2]>::try_from(self.hears().await).expect("two lines");
        assert_eq!(reloading, "RELOADING=1");
        let at = at.strip_prefix("MONOTONIC_USEC=").expect("a moment");
        assert!(at.parse::<u64>().expect("a number") > 0);
        assert_eq!(self.hears().await, ["READY=1", status]);
    }
}

#[tokio::test]
async fn start_reloads_and_drain_are_told() {
    let (manager, mut gateway) = Manager::start().await;
    let serving = "STATUS=serving generation 1";
    assert_eq!(manager.hears().await, ["READY=1", serving]);

    gateway.sighup();
    manager.hears_a_reload(serving).await;
    gateway.rewrite_config("services: [");
    manager
        .hears_a_reload(&format!(
            "{serving}; last reload: the file has errors; what runs stays"
        ))
        .await;
    gateway.rewrite_config(&CONFIG.replace("pong", "new"));
    manager.hears_a_reload("STATUS=serving generation 2").await;

    gateway.sigterm();
    assert_eq!(manager.hears().await, ["STOPPING=1", "STATUS=draining"]);
    assert!(gateway.await_exit().await.success());
}

#[tokio::test]
async fn a_service_manager_that_is_gone_stops_nothing() {
    let (manager, mut gateway) = Manager::start().await;
    drop(manager);
    gateway.sighup();
    gateway
        .await_log("the service manager cannot be told")
        .await;
    gateway
        .await_metric("serin_config_reloads_total", &[("result", "ok")], 1.0)
        .await;
    assert!(gateway.terminate().await.success());
}
