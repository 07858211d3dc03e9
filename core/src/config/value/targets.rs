//! Paths and URLs that keys name, each within rules of its own. An error is a hint: how such a value is written.

use http::HeaderName;
use http::uri::PathAndQuery;

use super::header_name;
use crate::request::path::NormalPath;

/// The path that a health check asks for, with its query.
pub fn probe_path(text: &str) -> Result<Box<str>, String> {
    let path = PathAndQuery::try_from(text).ok();
    path.filter(|path| text.starts_with('/') && path.as_str() == text)
        .map(|path| path.as_str().into())
        .ok_or_else(|| "a path as in /healthz".to_owned())
}

/// The path of the client API, without a slash at its end.
pub fn api_path(text: &str) -> Result<Box<str>, String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let normal = NormalPath::new(path).is_ok_and(|normal| normal.as_str() == path);
    (path.len() > 1 && normal && path.starts_with('/') && path.bytes().all(plain))
        .then(|| path.into())
        .ok_or_else(|| "as in /.serin".to_owned())
}

/// Where a redirect leads: a path, or an `http` or `https` URL.
pub fn redirect_target(text: &str) -> Result<Box<str>, String> {
    let form = || "a path, as in /search, or a URL, as in https://example.com/search".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| form())?;
    let relative = text.starts_with('/') && !text.starts_with("//");
    let absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    if !(relative || absolute) || text.contains('#') {
        return Err(form());
    }
    if text.contains('?') {
        return Err("the request's own query is kept; `to` has none".to_owned());
    }
    Ok(text.into())
}

/// A header field that is Serin's own and no other's: its name begins with `x-`.
pub fn own_header(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    let is_own = name.as_str().starts_with("x-")
        && !matches!(
            name.as_str(),
            "x-serin-decision" | "x-serin-deployment" | "x-request-id"
        );
    is_own.then_some(name).ok_or_else(|| {
        "its name begins with x- and is no other field's, as in x-serin-receipt".to_owned()
    })
}
