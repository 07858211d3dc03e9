use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;

use super::admit;
use crate::admin::access::AccessControl;
use crate::admin::connections::Caller;
use crate::host::HostPattern;

fn caller(address: &str, reached: &str) -> Caller {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    Caller {
        address: ip(address),
        reached: ip(reached),
        listener_is_open: true,
    }
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// The status that a caller is refused with; 0: none.
fn status(caller: &Caller, path: &str, headers: &[(&str, &str)]) -> u16 {
    let hosts = [
        HostPattern::Exact("serin.internal".into()),
        HostPattern::Wildcard("ops.example".into()),
    ];
    let access = AccessControl::default();
    let admitted = admit(caller, &request(path, headers), &hosts, &access, &[]);
    admitted.err().map_or(0, |problem| {
        serde_json::to_value(problem).unwrap()["status"]
            .as_u64()
            .unwrap() as u16
    })
}

#[test]
fn both_ends_must_be_loopback() {
    for (address, reached, expected) in [
        ("127.0.0.1", "127.0.0.1", 0),
        ("::1", "::1", 0),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", 0),
        ("10.0.0.7", "10.0.0.5", 403),
        // A mesh's proxy beside the gateway, and a machine that asks itself by its own address.
        ("127.0.0.6", "10.0.0.5", 403),
        ("10.0.0.5", "10.0.0.5", 403),
        ("10.0.0.7", "127.0.0.1", 403),
    ] {
        let caller = caller(address, reached);
        for path in ["/api/v1/status", "//api/v1/status", "/metrics/", "/"] {
            assert_eq!(
                status(&caller, path, &[]),
                expected,
                "{address} {reached} {path}"
            );
        }
        for path in ["/livez", "/readyz", "/metrics"] {
            let named = [("host", "gateway.example")];
            assert_eq!(
                status(&caller, path, &named),
                0,
                "{address} {reached} {path}"
            );
        }
    }
}

#[test]
fn every_name_must_be_known() {
    let local = caller("127.0.0.1", "127.0.0.1");
    let api = "/api/v1/reload";
    for known in [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "127.0.0.1:9900",
        "10.0.0.1",
        "[::1]:9900",
        "serin.internal",
        "Serin.Internal:80",
        "a.ops.example",
    ] {
        assert_eq!(status(&local, api, &[("host", known)]), 0, "{known}");
    }
    for unknown in [
        "evil.example",
        "localhost.evil.example",
        "ops.example",
        ".ops.example",
        "xops.example",
        "serin.internal.evil.example",
        "",
    ] {
        assert_eq!(status(&local, api, &[("host", unknown)]), 421, "{unknown}");
    }
    let twice = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(status(&local, api, &twice), 400);
    assert_eq!(status(&local, "/livez", &twice), 400);
    // An absolute target names a host, too.
    let target = "http://evil.example/api/v1/reload";
    assert_eq!(status(&local, target, &[("host", "localhost")]), 421);
}

#[test]
fn a_page_elsewhere_gets_nothing() {
    let local = caller("127.0.0.1", "127.0.0.1");
    let host = ("host", "localhost:9900");
    for (origins, expected) in [
        (&["http://localhost:9900"][..], 0),
        (&["http://evil.example"], 403),
        (&["null"], 403),
        (&["http://localhost:9900", "http://evil.example"], 403),
    ] {
        let mut headers = vec![host];
        headers.extend(origins.iter().map(|origin| ("origin", *origin)));
        assert_eq!(
            status(&local, "/api/v1/reload", &headers),
            expected,
            "{origins:?}"
        );
    }
}
