//! A deployment's name as headers carry it.

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::cluster::DeploymentName;

/// What a header's value cannot carry as it is.
const HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// What the value of a baggage member cannot carry as it is (W3C Baggage, section 3.3.1.1.3).
const BAGGAGE_VALUE: &AsciiSet = &HEADER.add(b' ').add(b'"').add(b',').add(b';').add(b'\\');

/// What its key cannot: anything but the characters of a token (RFC 9110, section 5.6.2).
const BAGGAGE_KEY: &AsciiSet = &BAGGAGE_VALUE
    .add(b'(')
    .add(b')')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b']')
    .add(b'{')
    .add(b'}');

/// The name as the value of a header.
pub(super) fn header(name: &str) -> HeaderValue {
    header_value(&utf8_percent_encode(name, HEADER).to_string())
}

/// The member of `baggage` that tells later hops which deployment of a service was asked.
pub(super) fn baggage(name: DeploymentName<'_>) -> HeaderValue {
    let key = utf8_percent_encode(name.service, BAGGAGE_KEY);
    let value = utf8_percent_encode(name.deployment, BAGGAGE_VALUE);
    header_value(&format!("serin.{key}={value}"))
}

/// Percent-encoded text is visible ASCII, so the fallback is never used.
fn header_value(encoded: &str) -> HeaderValue {
    HeaderValue::from_str(encoded).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
