//! The user as flags see them.

pub mod schema;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

/// The index of a property in `identity.properties`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// A value that a condition can test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The user's ID.
    UserId,
    /// The session's ID: with `anonymous: sticky` the random ID in the first-party cookie.
    SessionId,
    /// The client's address.
    RemoteAddress,
    /// The moment of the decision.
    Now,
    /// A property of `identity.properties`.
    Property(Slot),
    /// A constant of the rule itself, the same for every request; no context has it.
    Constant,
}

/// A point in time, as an argument: no pure function reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: i64,
}

/// RFC 3339 in UTC; beyond the years that a calendar date can be written for, the bare milliseconds.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.unix_ms) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} ms", self.unix_ms),
        }
    }
}

/// The user as flags see them. Values are borrowed from the request where they can be; an absent value is
/// `None`, and an empty string counts as absent.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The user's ID.
    pub user_id: Option<Cow<'a, str>>,
    /// The session's ID.
    pub session_id: Option<Cow<'a, str>>,
    /// The client's address: the connection's peer, or what a trusted proxy says of it.
    pub remote_address: IpAddr,
    /// The properties' values by [`Slot`]; a missing tail is absent.
    pub properties: SmallVec<[Option<Cow<'a, str>>; 8]>,
}

impl Context<'_> {
    /// The text of a field; `None` for those that are not text of the user's ([`Field::RemoteAddress`],
    /// [`Field::Now`], [`Field::Constant`]).
    pub fn text(&self, field: Field) -> Option<&str> {
        let value = match field {
            Field::UserId => &self.user_id,
            Field::SessionId => &self.session_id,
            Field::Property(slot) => self.properties.get(usize::from(slot.0))?,
            Field::RemoteAddress | Field::Now | Field::Constant => return None,
        };
        value.as_deref().filter(|text| !text.is_empty())
    }

    /// The same, with copies of what was the request's.
    pub fn into_owned(self) -> Context<'static> {
        let own = |value: Option<Cow<'_, str>>| value.map(|value| Cow::Owned(value.into_owned()));
        Context {
            user_id: own(self.user_id),
            session_id: own(self.session_id),
            remote_address: self.remote_address,
            properties: self.properties.into_iter().map(own).collect(),
        }
    }
}

/// An address, a moment or a number as text, written without allocation.
#[derive(Clone, Copy, Debug)]
pub struct ShortText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl ShortText {
    /// An IPv6 address that ends with an IPv4 one: eight groups, the last two as four decimal numbers.
    const LONGEST: usize = 45;

    /// Writes an address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::of(address)
    }

    /// Writes a moment, in RFC 3339.
    pub fn of_moment(moment: Moment) -> Self {
        Self::of(moment)
    }

    /// Writes a whole number.
    pub fn of_number(number: i64) -> Self {
        Self::of(number)
    }

    fn of(value: impl fmt::Display) -> Self {
        use fmt::Write as _;
        let mut text = Self {
            bytes: [0; Self::LONGEST],
            length: 0,
        };
        // None of these is longer than there is room, so writing cannot fail.
        let _ = write!(text, "{value}");
        text
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(written).unwrap_or_default()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Default for Context<'_> {
    fn default() -> Self {
        Self {
            user_id: None,
            session_id: None,
            remote_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            properties: SmallVec::new(),
        }
    }
}
