//! Paths as they are matched: decoded, in one normal form, so that no spelling slips past a route.
//!
//! Servers do not agree on every path. What they may read in two ways has more than one normal form
//! ([`NormalPath::other_readings`]), and may only pass where all of them lead to the same route.

mod read;

use std::borrow::Cow;

use read::{Open, Reading, Walk};

/// A path as it is compared: percent-decoded, without the parameters of its segments (`;a=b`), dot segments resolved, no
/// empty segments (RFC 3986, sections 3.3 and 6.2.2). Only control characters, `%`, slashes, backslashes and bytes that
/// are no text stay escaped, in upper case. What is sent upstream stays as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a> {
    text: Cow<'a, str>,
    sent: &'a str,
    reading: Reading,
    open: Open,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with /")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("the path has an invalid percent-encoding")]
    Encoding,
    /// An encoded NUL: for some servers the path ends there.
    #[error("the path has an encoded NUL")]
    Nul,
}

impl<'a> NormalPath<'a> {
    /// Brings a path (without its query) into normal form; borrows it if it is so already.
    pub fn new(path: &'a str) -> Result<Self, PathError> {
        let as_sent = Self {
            text: Cow::Borrowed(path),
            sent: path,
            reading: Reading::default(),
            open: Open::default(),
        };
        if !path.starts_with('/') {
            // `OPTIONS *` is about the server as a whole and can only be matched as it stands.
            return match path {
                "*" | "" => Ok(as_sent),
                _ => Err(PathError::NotAbsolute),
            };
        }
        if is_normal(path) {
            return Ok(as_sent);
        }
        let escaped = read::validate(path)?;
        let mut normal = Self::read(path, Reading::default());
        normal.open.decoded |= escaped;
        Ok(normal)
    }

    /// Reads a path that is valid.
    fn read(sent: &'a str, reading: Reading) -> Self {
        let walk = Walk::new(sent, reading);
        Self {
            text: Cow::Owned(walk.text()),
            sent,
            reading,
            open: walk.open,
        }
    }

    /// The path in its normal form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is the very path that was given.
    pub fn is_as_sent(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// What else servers may take the path for: with an escaped slash, or a backslash, that parts segments, with a `..;`
    /// that is a `..`, and with empty segments that a `..` takes away. Nothing for nearly every path.
    pub fn other_readings(&self) -> Vec<Self> {
        let mut others = Vec::new();
        let mut read = |reading| {
            let other = Self::read(self.sent, reading);
            let unmerged = other.open.unmerged;
            others.push(other);
            unmerged
        };
        let decoded = Reading {
            decoded: true,
            ..Reading::default()
        };
        let unmerged = |reading: Reading| Reading {
            unmerged: true,
            ..reading
        };
        if self.open.decoded && read(decoded) {
            read(unmerged(decoded));
        }
        if self.open.unmerged {
            read(unmerged(Reading::default()));
        }
        others
    }

    /// What was sent behind the segments that a prefix matched, byte for byte. `prefix` is in normal form, has no slash at
    /// its end, and matches this path.
    pub fn behind(&self, prefix: &str) -> &'a str {
        if let Cow::Borrowed(text) = self.text {
            return text.get(prefix.len()..).unwrap_or_default();
        }
        let walk = Walk::new(self.sent, self.reading);
        let end = walk.end_of(prefix.matches('/').count());
        self.sent.get(end..).unwrap_or_default()
    }

    /// Whether `new`, which is sent in place of this path with `replacement` for the matched `prefix`, comes to the same for
    /// a server that reads as this reading does: what stood behind the prefix stands behind the replacement.
    pub fn is_kept_by(&self, new: &str, prefix: &str, replacement: &str) -> bool {
        let (Ok(new), Ok(base)) = (
            Self::new_by(new, self.reading),
            Self::new_by(replacement, self.reading),
        ) else {
            return false;
        };
        let rest = self.text.strip_prefix(prefix).unwrap_or_default();
        let wanted = base.text.trim_end_matches('/').to_owned() + rest;
        new.text.trim_end_matches('/') == wanted.trim_end_matches('/')
    }

    fn new_by(path: &str, reading: Reading) -> Result<NormalPath<'_>, PathError> {
        let path = if path.is_empty() { "/" } else { path };
        NormalPath::new(path)?;
        Ok(NormalPath::read(path, reading))
    }
}

/// Why a path of the configuration can match no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Requests for it are refused.
    #[error("{0}; such requests are refused")]
    Refused(#[from] PathError),
    /// It has an escaped slash or backslash.
    #[error(
        "no request matches an escaped slash or a backslash: servers disagree on whether it parts segments"
    )]
    Slash,
    /// It has parameters.
    #[error("requests are matched without what begins with `;` in a segment")]
    Parameters,
    /// It has dot segments or empty ones.
    #[error("requests are matched after `//`, `.` and `..` are resolved")]
    Unresolved,
}

/// A path of the configuration in the form that requests are compared in.
pub fn pattern(text: &str) -> Result<Box<str>, PatternError> {
    let normal = NormalPath::new(text)?;
    let upper = text.to_ascii_uppercase();
    if text.contains('\\') || upper.contains("%2F") || upper.contains("%5C") {
        return Err(PatternError::Slash);
    }
    if text.contains(';') || upper.contains("%3B") {
        return Err(PatternError::Parameters);
    }
    // Without those, only what is resolved changes how many segments there are.
    if normal.as_str().matches('/').count() != text.matches('/').count() {
        return Err(PatternError::Unresolved);
    }
    Ok(normal.as_str().into())
}

/// A path as it may stand in a request: what has no place there (RFC 3986, section 3.3) is percent-encoded, and escapes
/// stay as they are.
pub fn sendable(text: &str) -> Result<Box<str>, PathError> {
    if text.starts_with('/') {
        read::validate(text)?;
    }
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            read::push_escape(&mut out, byte);
        }
    }
    Ok(out.into())
}

/// Whether a path is in normal form by a look at its bytes alone: no escapes, no parameters, no segments to resolve.
fn is_normal(path: &str) -> bool {
    let mut behind_slash = false;
    path.bytes().all(|byte| {
        let open = matches!(byte, b'%' | b'\\' | b';');
        let open = open || (behind_slash && matches!(byte, b'/' | b'.'));
        behind_slash = byte == b'/';
        !open
    })
}

#[cfg(test)]
mod tests;
