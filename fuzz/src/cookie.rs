//! `Cookie` fields.

use serin_core::dispatch::Dispatch;
use serin_core::request::cookie_pairs;

use crate::request::Request;

/// The cookies that are Serin's own.
const OWN: [&str; 2] = ["serin_override", "serin_channel"];

/// Serin's own cookies reach no service, as RFC 6265 has it read its cookies, and other cookies reach it as they came and in
/// their order.
pub fn check(input: &[u8]) {
    let request = Request::new("/search").with_lines("cookie", input);
    let Dispatch::Forward(plan) = request.dispatch() else {
        return;
    };
    let sent = request.sent_upstream(&plan);
    let others = |fields: &http::HeaderMap| -> Vec<Vec<u8>> {
        let values = fields.get_all("cookie").into_iter();
        let pairs = values.flat_map(|value| cookie_pairs(value.as_bytes()).map(trimmed));
        let pairs = pairs.filter(|pair| !pair.is_empty() && !is_own(pair));
        pairs.map(<[u8]>::to_vec).collect()
    };
    assert_eq!(others(&sent), others(&request.fields));
    for value in sent.get_all("cookie") {
        for pair in value.as_bytes().split(|&byte| byte == b';') {
            assert!(
                !is_own(pair),
                "a service may read {:?}",
                String::from_utf8_lossy(pair)
            );
        }
    }
}

/// Whether a reader takes a pair for one of Serin's own cookies.
fn is_own(pair: &[u8]) -> bool {
    let name = trimmed(pair).split(|&byte| byte == b'=').next();
    let name = trimmed(name.unwrap_or_default());
    OWN.iter().any(|own| name == own.as_bytes()) && pair.contains(&b'=')
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
