//! A real Prometheus, with Serin's own rules.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{client, eventually, get, origin, post};

/// How often it scrapes and evaluates.
const INTERVAL: &str = "500ms";

/// A running server; it and its data are gone when this is dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    folder: TempDir,
    server: Child,
}

impl Prometheus {
    /// Starts one with these rules.
    pub(crate) async fn start(rules: &str) -> Self {
        // Bound and let go: the server takes no socket that is handed to it.
        let reserved = origin::bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = reserved.local_addr().ok();
        let address = address.and_then(|address| address.as_socket());
        let address = address.expect("an address");
        let folder = TempDir::new().expect("a folder");
        let config = json!({
            "global": { "scrape_interval": INTERVAL, "evaluation_interval": INTERVAL },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{
                "job_name": "serin",
                "file_sd_configs": [{ "files": ["targets.json"], "refresh_interval": INTERVAL }],
            }],
        });
        let file = |name: &str| folder.path().join(name);
        fs::write(file("prometheus.yaml"), config.to_string()).expect("a file");
        fs::write(file("rules.yaml"), rules).expect("a file");
        fs::write(file("targets.json"), "[]").expect("a file");
        drop(reserved);
        let log = fs::File::create(file("log")).expect("a file");
        // It ends with the thread that has started it, whatever becomes of that.
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus"])
            .arg("--config.file=prometheus.yaml")
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.path=data")
            .arg("--enable-feature=exemplar-storage")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus: scripts/install-test-deps installs it");
        let prometheus = Self {
            address,
            folder,
            server,
        };
        prometheus.await_readiness().await;
        prometheus
    }

    async fn await_readiness(&self) {
        eventually("prometheus", || async {
            tokio::net::TcpStream::connect(self.address).await.ok()?;
            let answer = client::send(self.address, get("/-/ready")).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Has it scrape these, each under a name of its own; `instance` is that name.
    pub(crate) fn scrape(&self, targets: &[(&str, SocketAddr)]) {
        let group = |(name, address): &(&str, SocketAddr)| json!({ "targets": [address.to_string()], "labels": { "instance": name } });
        let groups: Vec<Value> = targets.iter().map(group).collect();
        let next = self.folder.path().join("targets.next");
        fs::write(&next, Value::from(groups).to_string()).expect("a file");
        fs::rename(next, self.targets()).expect("it is renamed");
    }

    fn targets(&self) -> PathBuf {
        self.folder.path().join("targets.json")
    }

    /// What an expression is at this moment: one entry a series. Fails on an expression that is none.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let body = format!("query={}", encoded(expression));
        let form = ("content-type", "application/x-www-form-urlencoded");
        let call = post("/api/v1/query", body).header(form.0, form.1);
        let answer = client::send(self.address, call).await;
        assert_eq!(answer.status, 200, "{expression}\n{}", answer.text());
        let mut answer = answer.json();
        match answer["data"]["result"].take() {
            Value::Array(series) => series,
            other => panic!("{expression}: {other}"),
        }
    }

    /// The exemplars of the only series with any that this expression reads, with its labels.
    pub(crate) async fn exemplars(&self, expression: &str) -> Option<Value> {
        let always = "start=2020-01-01T00:00:00Z&end=2120-01-01T00:00:00Z";
        let path = format!(
            "/api/v1/query_exemplars?query={}&{always}",
            encoded(expression)
        );
        let answer = client::send(self.address, get(&path)).await;
        assert_eq!(answer.status, 200, "{expression}\n{}", answer.text());
        let mut answer = answer.json();
        let series = answer["data"].as_array_mut().expect("series");
        assert!(series.len() < 2, "{series:?}");
        series.pop()
    }

    /// The names of the alerts that fire.
    pub(crate) async fn firing(&self) -> Vec<String> {
        let answer = client::send(self.address, get("/api/v1/alerts")).await;
        let answer = answer.json();
        let alerts = answer["data"]["alerts"].as_array().expect("alerts");
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let names = firing.filter_map(|alert| alert["labels"]["alertname"].as_str());
        names.map(str::to_owned).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// As the value of a form's field.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
