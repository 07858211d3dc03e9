use std::net::{IpAddr, Ipv4Addr};

use http::HeaderName;

use super::token::ShownToken;
use super::{Anonymous, Auth, Place, Property, Rules, Source, Trust};
use crate::request::{HeaderList, RequestHead};

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn source(place: Place, trust: Trust) -> Source {
    Source { place, trust }
}

fn rules() -> Rules {
    Rules {
        user_id: vec![
            source(Place::Cookie("uid".into()), Trust::Anyone),
            source(
                Place::Header(HeaderName::from_static("x-user-id")),
                Trust::Proxies,
            ),
            source(Place::Query("uid".into()), Trust::Anyone),
        ],
        properties: vec![Property {
            name: "region".into(),
            source: source(
                Place::Header(HeaderName::from_static("cf-ipcountry")),
                Trust::Proxies,
            ),
        }],
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..Rules::default()
    }
}

fn user(
    rules: &Rules,
    peer: IpAddr,
    query: Option<&str>,
    fields: &[(&str, &str)],
) -> (Option<String>, Option<String>, IpAddr) {
    let headers: HeaderList = fields.iter().map(|(name, value)| (*name, *value)).collect();
    let head = RequestHead {
        method: "GET",
        authority: "a",
        path: "/",
        query,
        headers: &headers,
        peer,
        peer_trusted: rules.trusts(peer),
    };
    let context = rules.identify(&head, &ShownToken::Nothing, Auth::Optional);
    let user = context.user_id.map(std::borrow::Cow::into_owned);
    (
        user,
        context.session_id.map(std::borrow::Cow::into_owned),
        context.remote_address,
    )
}

fn id(peer: IpAddr, query: Option<&str>, fields: &[(&str, &str)]) -> Option<String> {
    user(&rules(), peer, query, fields).0
}

#[test]
fn the_first_source_that_yields_a_value_wins() {
    let cookie = ("cookie", "a=b; uid=u1; uid=u2");
    let header = ("x-user-id", " u3 ");
    assert_eq!(
        id(PROXY, Some("uid=u4"), &[cookie, header]).as_deref(),
        Some("u1")
    );
    assert_eq!(id(PROXY, Some("uid=u4"), &[header]).as_deref(), Some("u3"));
    assert_eq!(
        id(PROXY, Some("x=1&uid=u%204+5"), &[("cookie", "uid=")]).as_deref(),
        Some("u 4 5")
    );
    assert_eq!(id(PROXY, Some("uid=%ff"), &[]), None, "not UTF-8");
    assert_eq!(id(PROXY, None, &[]), None);
}

#[test]
fn only_proxies_are_believed_where_it_says_so() {
    assert_eq!(id(CLIENT, None, &[("x-user-id", "u3")]), None);
    let mapped = "::ffff:10.0.0.1".parse().expect("an address");
    assert_eq!(
        id(mapped, None, &[("x-user-id", "u3")]).as_deref(),
        Some("u3")
    );
}

#[test]
fn the_client_is_the_nearest_address_that_no_proxy_has() {
    let address = |peer, fields: &[(&str, &str)]| user(&rules(), peer, None, fields).2.to_string();
    assert_eq!(
        address(CLIENT, &[("x-forwarded-for", "198.51.100.1")]),
        "192.0.2.7",
        "no trusted proxy says so"
    );
    assert_eq!(address(PROXY, &[]), "10.0.0.1");
    assert_eq!(
        address(
            PROXY,
            &[("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.9.9.9")]
        ),
        "198.51.100.1"
    );
    let several = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "10.0.0.2"),
    ];
    assert_eq!(address(PROXY, &several), "198.51.100.1");
    assert_eq!(
        address(PROXY, &[("x-forwarded-for", "[2001:db8::1]:443")]),
        "2001:db8::1"
    );
    assert_eq!(
        address(PROXY, &[("x-forwarded-for", "198.51.100.1:99")]),
        "198.51.100.1"
    );
    assert_eq!(
        address(
            PROXY,
            &[("x-forwarded-for", "198.51.100.1, unknown, 10.0.0.2")]
        ),
        "10.0.0.2"
    );
}

#[test]
fn the_session_is_the_anonymous_cookie_when_it_is_sticky() {
    let id = "0123456789abcdef0123456789abcdef";
    let cookie = format!("serin_id={id}");
    let fields = [("cookie", cookie.as_str())];
    assert_eq!(user(&rules(), CLIENT, None, &fields).1, None);
    let sticky = Rules {
        anonymous: Anonymous::Sticky,
        ..rules()
    };
    assert_eq!(user(&sticky, CLIENT, None, &fields).1.as_deref(), Some(id));
    assert_eq!(
        user(
            &sticky,
            CLIENT,
            None,
            &[("cookie", "serin_id=<script>alert(1)</script>")]
        )
        .1,
        None
    );
}
