//! The kinds of values that keys have: how each looks, how it is read, and how a default is written.

pub mod lists;
pub mod quantities;
pub mod texts;
pub mod upgrades;
pub mod words;

use std::fmt;
use std::marker::PhantomData;

use http::StatusCode;

use super::shape::{Bounds, Form, Shape, Written, text};
use crate::cluster::UpstreamUrl;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::flag::Share;

/// A kind of value, with its bounds.
pub trait Kind: fmt::Debug + Sync + 'static {
    /// The type that the gateway runs on.
    type Value;

    /// How it looks in the file.
    fn shape(&self) -> Shape;

    /// Reads a value and notes its problems; `None`: it cannot be read.
    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Self::Value>;

    /// The least and the most that it may be, as a file would say it.
    fn bounds(&self) -> Bounds {
        Bounds::default()
    }
}

/// A kind that a default can be stated of.
pub trait Defaulted: Kind {
    /// The value, as a constant.
    type Constant: Copy + fmt::Debug + Sync;

    /// The value that a constant stands for.
    fn value(&self, constant: Self::Constant) -> Self::Value;

    /// The constant as a file would say it.
    fn written(&self, constant: Self::Constant) -> Written;
}

/// `true` or `false`.
#[derive(Debug)]
pub struct Bool;

impl Kind for Bool {
    type Value = bool;

    fn shape(&self) -> Shape {
        text(Form::Bool)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<bool> {
        reader.bool(node)
    }
}

impl Defaulted for Bool {
    type Constant = bool;

    fn value(&self, constant: bool) -> bool {
        constant
    }

    fn written(&self, constant: bool) -> Written {
        Written::Literal(constant.to_string())
    }
}

/// A whole number.
#[derive(Debug)]
pub struct Integer<T> {
    least: u32,
    most: u32,
    number: PhantomData<fn() -> T>,
}

/// A whole number within bounds.
pub const fn integer<T>(least: u32, most: u32) -> Integer<T> {
    Integer {
        least,
        most,
        number: PhantomData,
    }
}

impl<T: TryFrom<u32> + fmt::Debug + 'static> Kind for Integer<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        text(Form::Integer(self.least, self.most))
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<T> {
        let number = reader.integer(node, self.least..=self.most)?;
        T::try_from(number).ok()
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(self.least.to_string(), self.most.to_string())
    }
}

impl<T: TryFrom<u32> + Copy + fmt::Debug + fmt::Display + Sync + 'static> Defaulted for Integer<T> {
    type Constant = T;

    fn value(&self, constant: T) -> T {
        constant
    }

    fn written(&self, constant: T) -> Written {
        Written::Literal(constant.to_string())
    }
}

/// The status of a response that is answered in place of a service, or expected from one.
#[derive(Debug)]
pub struct Status;

impl Status {
    const LEAST: u32 = 200;
    const MOST: u32 = 599;
}

impl Kind for Status {
    type Value = StatusCode;

    fn shape(&self) -> Shape {
        text(Form::Integer(Self::LEAST, Self::MOST))
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<StatusCode> {
        status(reader.integer(node, Self::LEAST..=Self::MOST)?)
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(Self::LEAST.to_string(), Self::MOST.to_string())
    }
}

impl Defaulted for Status {
    type Constant = StatusCode;

    fn value(&self, constant: StatusCode) -> StatusCode {
        constant
    }

    fn written(&self, constant: StatusCode) -> Written {
        Written::Literal(constant.as_u16().to_string())
    }
}

fn status(number: u32) -> Option<StatusCode> {
    let number = u16::try_from(number).ok()?;
    StatusCode::from_u16(number).ok()
}

/// The status of a redirect that says where to go (RFC 9110, section 15.4).
#[derive(Debug)]
pub struct RedirectStatus;

impl RedirectStatus {
    const ALL: [u32; 5] = [301, 302, 303, 307, 308];
    const STAND_IN: StatusCode = StatusCode::PERMANENT_REDIRECT;
}

impl Kind for RedirectStatus {
    type Value = StatusCode;

    fn shape(&self) -> Shape {
        let [least, .., most] = Self::ALL;
        text(Form::Integer(least, most))
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<StatusCode> {
        reader.parse(node, "the status of a redirect", Self::STAND_IN, |text| {
            let number = text.parse().ok();
            number
                .filter(|number| Self::ALL.contains(number))
                .and_then(status)
                .ok_or_else(|| "301, 302, 303, 307 or 308".to_owned())
        })
    }
}

impl Defaulted for RedirectStatus {
    type Constant = StatusCode;

    fn value(&self, constant: StatusCode) -> StatusCode {
        constant
    }

    fn written(&self, constant: StatusCode) -> Written {
        Written::Literal(constant.as_u16().to_string())
    }
}

/// As in `5%`.
#[derive(Debug)]
pub struct Percentage;

/// Whole percents as a constant.
pub const fn percent(number: u16) -> Share {
    match Share::new(number * 100) {
        Some(share) => share,
        None => Share::ALL,
    }
}

impl Kind for Percentage {
    type Value = Share;

    fn shape(&self) -> Shape {
        text(Form::Percentage)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Share> {
        reader.share(node)
    }
}

impl Defaulted for Percentage {
    type Constant = Share;

    fn value(&self, constant: Share) -> Share {
        constant
    }

    fn written(&self, constant: Share) -> Written {
        Written::Text(constant.to_string())
    }
}

/// An upstream's URL.
#[derive(Debug)]
pub struct Url;

impl Kind for Url {
    type Value = UpstreamUrl;

    fn shape(&self) -> Shape {
        text(Form::Url)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<UpstreamUrl> {
        reader.url(node)
    }
}
