//! What a route tells browsers: `cors` and `security_headers`.

use http::header::{
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method};

use crate::config::keys::routes::browsers as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::value;
use crate::host::{HostPattern, split_port};
use crate::route::cors::{Cors, Origin, Origins, list};
use crate::route::guard::SecurityHeaders;

/// Compiles `cors`.
pub(super) fn cors(reader: &mut Reader, route: &Node) -> Option<Cors> {
    let node = keys::CORS.node(route)?;
    let credentials = keys::CREDENTIALS.read(reader, node);
    let origins = origins(reader, node, credentials);
    let methods: Vec<Method> = match keys::CORS_METHODS.node(node) {
        None => vec![Method::GET, Method::HEAD, Method::POST],
        Some(methods) => {
            let methods = methods.items().iter();
            methods.filter_map(|node| reader.method(node)).collect()
        }
    };
    let headers = names(reader, keys::CORS_HEADERS.items(node), credentials);
    let expose = names(reader, keys::EXPOSED_HEADERS.items(node), credentials);
    let max_age = keys::MAX_AGE.read(reader, node).as_secs();
    Some(Cors {
        origins,
        methods: Cors::list_of_methods(&methods),
        headers,
        expose,
        credentials,
        max_age: HeaderValue::from(max_age),
    })
}

fn names(reader: &mut Reader, nodes: &[Node], credentials: bool) -> Option<HeaderValue> {
    let mut names = Vec::new();
    for node in nodes {
        let name = reader.header_name(node);
        if credentials && name.as_ref().is_some_and(|name| name == "*") {
            reader
                .problems
                .error(
                    node.span,
                    "with `credentials: true`, `*` is a header like others",
                )
                .hint("name the headers");
        }
        names.extend(name);
    }
    list(names.iter().map(http::HeaderName::as_str))
}

fn origins(reader: &mut Reader, cors: &Node, credentials: bool) -> Origins {
    let nodes = keys::ORIGINS.items(cors);
    if let Some(list) = keys::ORIGINS.node(cors)
        && matches!(&list.value, Value::List(items) if items.is_empty())
    {
        reader
            .problems
            .error(list.span, "these are no pages at all")
            .hint("for no pages leave `cors` out");
    }
    let is_any = |node: &&Node| node.scalar().is_some_and(|scalar| scalar.text() == "*");
    let Some(any) = nodes.iter().find(is_any) else {
        let origins = nodes.iter().filter_map(|node| origin(reader, node));
        return Origins::Listed(origins.collect());
    };
    if credentials {
        reader
            .problems
            .error(any.span, "any page could act for a user who is logged in")
            .hint("with `credentials: true`, name the origins");
    }
    if nodes.len() > 1 {
        reader
            .problems
            .error(any.span, "`*` stands for all origins, and alone")
            .hint("leave the others out, or `*`");
    }
    Origins::Any
}

/// An origin, exact or with `*.` before its host.
fn origin(reader: &mut Reader, node: &Node) -> Option<Origin> {
    let stand_in = Origin {
        scheme: "https".into(),
        host: HostPattern::Exact("placeholder.invalid".into()),
        port: None,
    };
    reader.parse(node, "an origin", stand_in, read_origin)
}

/// An origin as browsers write it, perhaps with `*.` before its host.
pub(in crate::config::section) fn read_origin(text: &str) -> Result<Origin, String> {
    let form = || "scheme, host and port alone, as in https://app.example.com".to_owned();
    let (scheme, authority) = text.split_once("://").ok_or_else(form)?;
    let (host, port) = split_port(authority);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_web = matches!(scheme, "http" | "https");
    if !is_web || port.is_some_and(|port| !is_port(port)) {
        return Err(form());
    }
    if matches!(
        (scheme, port),
        ("http", Some("80")) | ("https", Some("443"))
    ) {
        return Err("browsers leave out a port that goes without saying".to_owned());
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("browsers write origins in lower case".to_owned());
    }
    Ok(Origin {
        scheme: scheme.into(),
        host: value::host(host).map_err(|_| form())?,
        port: port.map(Into::into),
    })
}

/// Compiles `security_headers`.
pub(super) fn security_headers(reader: &mut Reader, route: &Node) -> Option<SecurityHeaders> {
    let node = keys::SECURITY_HEADERS.node(route)?;
    if node.scalar().is_some() && !reader.bool(node)? {
        return None;
    }
    let mut fields = Vec::new();
    for (name, key, usual) in [
        (
            X_CONTENT_TYPE_OPTIONS,
            &keys::CONTENT_TYPE_OPTIONS,
            "nosniff",
        ),
        (X_FRAME_OPTIONS, &keys::FRAME_OPTIONS, "DENY"),
        (
            REFERRER_POLICY,
            &keys::REFERRER_POLICY,
            "strict-origin-when-cross-origin",
        ),
    ] {
        let stated = key.read(reader, node);
        let value = stated.unwrap_or_else(|| Some(HeaderValue::from_static(usual)));
        fields.extend(value.map(|value| (name, value)));
    }
    let usual = HeaderValue::from_static("max-age=31536000");
    let stated = keys::STRICT_TRANSPORT_SECURITY.read(reader, node);
    let over_https = stated.unwrap_or(Some(usual));
    Some(SecurityHeaders {
        fields,
        over_https: over_https.map(|value| (STRICT_TRANSPORT_SECURITY, value)),
    })
}
