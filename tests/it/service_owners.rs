//! `deploy/SERVICES.md`: its examples are run as they stand there, behind the gateway and before another service.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Gateway, Lines, Origin, fill, get, until};

const CONFIG: &str = "
services:
  search: http://127.0.0.1:PORT
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// The code block in this language.
fn example(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/SERVICES.md");
    let text = fs::read_to_string(path).expect("the document");
    let (_, rest) = text
        .split_once(&format!("```{language}\n"))
        .unwrap_or_else(|| panic!("no example in {language}"));
    let (code, _) = rest.split_once("```").expect("its end");
    code.to_owned()
}

/// A running example; it is ended when this is dropped.
struct Service {
    child: Child,
    said: Lines,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs an example behind the gateway: it must log what it was told, and pass on what it must.
async fn assert_joins_the_chain(mut command: Command) {
    let profiles = Origin::start("profiles").await;
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let child = command
        .env("PORT", port.to_string())
        .env("PROFILES_URL", profiles.url())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = Lines::of(child.stdout.take().expect("a pipe"));
    let service = Service { child, said };
    let address = format!("127.0.0.1:{port}");
    until("the example", || {
        std::net::TcpStream::connect(&address).ok()
    })
    .await;

    let gateway = Gateway::start(fill(&CONFIG.replace("PORT", &port.to_string()), [])).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = get("/search")
        .header("x-user-id", "u1")
        .header("baggage", "tenant=a, serin.search=forged")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = gateway.send(call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    assert!(text.contains("\"origin\":\"profiles\""), "{text}");

    let asked = profiles.last();
    let baggage = asked.header("baggage").expect("baggage");
    assert!(baggage.contains("tenant=a"), "{baggage}");
    assert!(
        baggage.contains("serin.search=stable") && !baggage.contains("forged"),
        "{baggage}"
    );
    let traceparent = asked.header("traceparent").expect("a trace");
    assert!(traceparent.contains(trace), "{traceparent}");
    let id = asked.header("x-request-id").expect("a request ID");
    let line = format!("search deployment=stable request={id}");
    until(&line, || service.said.text().contains(&line).then_some(())).await;
}

#[tokio::test]
async fn the_example_in_python() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("service.py");
    fs::write(&file, example("python")).expect("a file");
    let mut command = Command::new("python3");
    command.arg(&file).stderr(Stdio::null());
    assert_joins_the_chain(command).await;
}

#[tokio::test]
async fn the_example_in_javascript() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("service.cjs");
    fs::write(&file, example("js")).expect("a file");
    let mut command = Command::new("node");
    command.arg(&file);
    assert_joins_the_chain(command).await;
}

#[tokio::test]
async fn the_example_in_rust() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("examples/service.rs")).expect("the example");
    let (_, code) = source
        .split_once("\n\n")
        .expect("code behind its first line");
    assert_eq!(
        example("rust"),
        code,
        "the document has the example as it is"
    );
    let target = PathBuf::from(env!("CARGO_BIN_EXE_serin"));
    let built = target.with_file_name("examples").join("service");
    assert!(
        built.exists(),
        "not built yet: cargo test builds it, cargo test --test it does not; cargo build --example service"
    );
    assert_joins_the_chain(Command::new(built)).await;
}
