use std::net::{IpAddr, Ipv4Addr};

use http::HeaderName;

use super::{Unclean, check, visit_forbidden};
use crate::identity::{Place, Property, Rules, Source, Trust};
use crate::overrides::sample;
use crate::request::{HeaderList, RequestHead};

fn rules(trust: Trust) -> Rules {
    Rules {
        user_id: vec![Source {
            place: Place::Header(HeaderName::from_static("x-user-id")),
            trust,
        }],
        ..Rules::default()
    }
}

fn head<'a>(headers: &'a HeaderList, peer_trusted: bool) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        authority: "api.example.com",
        path: "/",
        query: None,
        headers,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_trusted,
    }
}

fn verdict(fields: &[(&str, &str)], trust: Trust) -> Result<(), Unclean> {
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    check(&head(&headers, false), &rules(trust), true).map(drop)
}

#[test]
fn framing_and_host_are_unambiguous() {
    let anyone = Trust::Anyone;
    assert_eq!(verdict(&[("content-length", "12")], anyone), Ok(()));
    assert_eq!(
        verdict(&[("content-length", "1"), ("content-length", "1")], anyone),
        Err(Unclean::ContentLength)
    );
    for value in ["1, 1", "+1", "", " 1", "0x1", "9999999999999999999"] {
        assert_eq!(
            verdict(&[("content-length", value)], anyone),
            Err(Unclean::ContentLength),
            "{value}"
        );
    }
    assert_eq!(
        verdict(&[("transfer-encoding", "Chunked ")], anyone),
        Ok(())
    );
    for value in [
        "chunked, chunked",
        "gzip, chunked",
        "identity",
        "",
        "chunked;q=1",
    ] {
        assert_eq!(
            verdict(&[("transfer-encoding", value)], anyone),
            Err(Unclean::TransferEncoding),
            "{value}"
        );
    }
    let twice = ("transfer-encoding", "chunked");
    assert_eq!(
        verdict(&[twice, twice], anyone),
        Err(Unclean::TransferEncoding)
    );
    for value in [
        "a, b", "a/x", "a b", "u@a", "a?b", "a:99999", "a:80x", "[::1]:x", "a:1:2",
    ] {
        assert_eq!(
            verdict(&[("host", value)], anyone),
            Err(Unclean::Host),
            "{value}"
        );
    }
    assert_eq!(
        verdict(&[("host", "a"), ("host", "a")], anyone),
        Err(Unclean::Host)
    );
    for value in ["[::1]:8080", "[::1]", "a:65535", "a:"] {
        assert_eq!(verdict(&[("host", value)], anyone), Ok(()), "{value}");
    }
    assert_eq!(
        verdict(&[("Transfer_Encoding", "chunked")], anyone),
        Err(Unclean::FramingLookalike)
    );
}

#[test]
fn connection_may_not_name_what_identity_rests_on() {
    for token in [
        "x-user-id",
        "close, X-User-ID",
        "x_user_id",
        "x-serin-deployment",
        "X-Forwarded-For",
        "baggage",
    ] {
        let refused = verdict(&[("connection", token)], Trust::Anyone);
        assert_eq!(refused, Err(Unclean::ConnectionNamesProtected), "{token}");
    }
    assert_eq!(
        verdict(
            &[("connection", "keep-alive, upgrade, x-hop")],
            Trust::Anyone
        ),
        Ok(())
    );
}

#[test]
fn a_believed_id_stands_once() {
    let twice = [("x-user-id", "u1"), ("X-User-Id", "u2")];
    assert_eq!(verdict(&twice, Trust::Anyone), Err(Unclean::SeveralIds));
    assert_eq!(
        verdict(&twice, Trust::Proxies),
        Ok(()),
        "not believed, and removed"
    );
}

#[test]
fn nobody_but_this_gateway_says_that_a_request_is_a_copy() {
    let fields = ["x-serin-mirror", "x-serin-deployment"];
    assert_eq!(removed(&fields, Trust::Proxies, true), ["x-serin-mirror"]);
    assert_eq!(removed(&fields, Trust::Proxies, false), fields);
    let named = verdict(&[("connection", "x-serin-mirror")], Trust::Anyone);
    assert_eq!(named, Err(Unclean::ConnectionNamesProtected));
}

fn removed(fields: &[&str], trust: Trust, peer_trusted: bool) -> Vec<String> {
    let headers: HeaderList = fields.iter().map(|name| (*name, "v")).collect();
    let mut names = Vec::new();
    visit_forbidden(&head(&headers, peer_trusted), &rules(trust), &mut |name| {
        names.push(name.to_string());
    });
    names
}

#[test]
fn a_request_is_plain_if_nothing_of_it_is_removed_or_continued() {
    let names = [
        "accept",
        "cookie",
        "a_b",
        "x-other",
        "tracestate",
        "baggage",
        "traceparent",
        "forwarded",
        "x-forwarded-host",
        "x-real-ip",
        "x-request-id",
        "x-serin-override",
        "x-serin-mirror",
        "x-user-id",
        "x_user_id",
        "trace_parent",
    ];
    for name in names {
        let headers: HeaderList = [("accept", "v"), (name, "v")].into_iter().collect();
        for (trust, peer_trusted) in [
            (Trust::Anyone, false),
            (Trust::Anyone, true),
            (Trust::Proxies, false),
            (Trust::Proxies, true),
        ] {
            let passes = removed(&[name], trust, peer_trusted).is_empty();
            let continued = matches!(name, "baggage" | "traceparent");
            assert_eq!(
                check(&head(&headers, peer_trusted), &rules(trust), true),
                Ok(passes && !continued),
                "{name} {trust:?} {peer_trusted}"
            );
        }
    }
}

#[test]
fn no_connection_names_the_header_that_overrides_come_in() {
    let mut rules = rules(Trust::Anyone);
    let mut own = sample::rules();
    own.header = HeaderName::from_static("x-qa");
    rules.overrides = Some(own);
    for (named, expected) in [
        ("x-qa", Err(Unclean::ConnectionNamesProtected)),
        ("X_QA", Err(Unclean::ConnectionNamesProtected)),
        ("x-serin-override", Err(Unclean::ConnectionNamesProtected)),
        ("x-qb", Ok(true)),
    ] {
        let headers: HeaderList = [("connection", named)].into_iter().collect();
        assert_eq!(
            check(&head(&headers, true), &rules, true),
            expected,
            "{named}"
        );
    }
}

#[test]
fn what_a_client_may_not_say_is_removed_in_any_spelling() {
    let sent = [
        "x-serin-decision",
        "X-Forwarded-For",
        "forwarded",
        "x-real-ip",
        "x-request-id",
        "x-user-id",
        "X_User_ID",
        "x_serin_deployment",
        "x-other",
        "a_b",
    ];
    assert_eq!(
        removed(&sent, Trust::Proxies, false),
        [
            "x-serin-decision",
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "x-user-id",
            "x_user_id",
            "x_serin_deployment"
        ]
    );
    let believed = removed(&["x-user-id", "x_user_id"], Trust::Anyone, false);
    assert_eq!(believed, ["x_user_id"]);
    assert_eq!(
        removed(&sent, Trust::Proxies, true),
        ["x_user_id", "x_serin_deployment"]
    );
}

#[test]
fn what_a_proxy_vouches_for_is_said_once() {
    let property = |trust| Property {
        name: "region".into(),
        source: Source {
            place: Place::Header(HeaderName::from_static("x-region")),
            trust,
        },
    };
    let fields = [("x-region", "at"), ("x-region", "de")];
    let headers: HeaderList = fields.into_iter().collect();
    for (trust, peer_trusted, expected) in [
        (Trust::Proxies, true, Err(Unclean::SeveralValues)),
        // It is stripped.
        (Trust::Proxies, false, Ok(())),
        // It may be a list, as `Accept-Language` is.
        (Trust::Anyone, true, Ok(())),
    ] {
        let rules = Rules {
            properties: vec![property(trust)],
            ..Rules::default()
        };
        let verdict = check(&head(&headers, peer_trusted), &rules, true).map(drop);
        assert_eq!(verdict, expected, "{trust:?} {peer_trusted}");
    }
}
