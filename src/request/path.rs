//! Paths as they are matched: in one normal form, so that no spelling slips past a route.

use std::borrow::Cow;

/// A path in normal form: unreserved characters decoded, other escapes in upper case, dot segments resolved, no
/// empty segments (RFC 3986, section 6.2.2). What is sent upstream stays as the client wrote it, unless rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a>(Cow<'a, str>);

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with /")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("the path has an invalid percent-encoding")]
    Encoding,
    /// An encoded slash, backslash or NUL, a bare backslash, or a `..;`: servers disagree on what these mean.
    #[error("the path has an encoded slash, a backslash, a NUL or a ..; segment")]
    Ambiguous,
}

impl<'a> NormalPath<'a> {
    /// Brings a path (without its query) into normal form; borrows it if it is so already.
    pub fn new(path: &'a str) -> Result<Self, PathError> {
        if !path.starts_with('/') {
            // `OPTIONS *` is about the server as a whole and can only be matched as it stands.
            return match path {
                "*" | "" => Ok(Self(Cow::Borrowed(path))),
                _ => Err(PathError::NotAbsolute),
            };
        }
        let bytes = path.as_bytes();
        let plain = bytes
            .windows(2)
            .all(|pair| !matches!(pair, [b'/', b'/' | b'.']))
            && !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\'));
        if plain {
            return Ok(Self(Cow::Borrowed(path)));
        }
        resolve(&decode(path)?).map(|path| Self(Cow::Owned(path)))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the very path that was given.
    pub fn is_as_sent(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

/// Decodes unreserved characters and puts other escapes in upper case.
fn decode(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        if escape.starts_with('\\') {
            return Err(PathError::Ambiguous);
        }
        let digits = escape.get(1..3).ok_or(PathError::Encoding)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PathError::Encoding);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| PathError::Encoding)?;
        match byte {
            0 | b'/' | b'\\' => return Err(PathError::Ambiguous),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &escape[3..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Removes dot segments and empty segments; a trailing slash stays.
fn resolve(path: &str) -> Result<String, PathError> {
    let mut segments: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in path.split('/').skip(1) {
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ if segment.starts_with("..;") || segment.starts_with(".;") => {
                return Err(PathError::Ambiguous);
            }
            _ => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if directory || segments.is_empty() {
        out.push('/');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{NormalPath, PathError};

    fn normal(path: &str) -> Result<String, PathError> {
        NormalPath::new(path).map(|normal| normal.as_str().to_owned())
    }

    #[test]
    fn equal_paths_have_one_form() {
        for (sent, expected) in [
            ("/", "/"),
            ("/search", "/search"),
            ("/search/", "/search/"),
            ("//search", "/search"),
            ("/a//b/", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/%73earch", "/search"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%3ab", "/a%3Ab"),
            ("/a/.well-known", "/a/.well-known"),
            ("/a/...", "/a/..."),
            ("*", "*"),
        ] {
            assert_eq!(normal(sent).as_deref(), Ok(expected), "{sent}");
        }
        assert!(NormalPath::new("/a/b").is_ok_and(|path| path.is_as_sent()));
        assert!(NormalPath::new("/a/./b").is_ok_and(|path| !path.is_as_sent()));
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for path in [
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a/..;/b",
            "/a/%2e%2e;x/b",
        ] {
            assert_eq!(normal(path), Err(PathError::Ambiguous), "{path}");
        }
        for path in ["/%", "/%2", "/%zz", "/a%+1"] {
            assert_eq!(normal(path), Err(PathError::Encoding), "{path}");
        }
        assert_eq!(normal("a/b"), Err(PathError::NotAbsolute));
    }
}
