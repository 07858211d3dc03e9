//! Values with a unit: times, sizes and rates.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::{Defaulted, Kind};
use crate::config::keys::shape::{Bounds, Form, Shape, Written, text};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::request::pace::BodyRate;

/// Over how long a rate is measured that does not say it.
const RATE_PERIOD: Duration = seconds(10);

/// Whole seconds.
pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Whole minutes.
pub const fn minutes(number: u64) -> Duration {
    seconds(60 * number)
}

/// Whole days.
pub const fn days(number: u64) -> Duration {
    minutes(24 * 60 * number)
}

/// As in `250ms`.
#[derive(Debug)]
pub enum Time {
    /// Any; `0s` is one, too.
    Any,
    /// Longer than nothing.
    Limit,
    /// Not less than this.
    Interval(Duration),
}

impl Kind for Time {
    type Value = Duration;

    fn shape(&self) -> Shape {
        text(Form::Duration)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Duration> {
        match self {
            Self::Any => reader.duration(node),
            Self::Limit => reader.time_limit(node),
            Self::Interval(least) => reader.interval(node, *least),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            least: match self {
                Self::Any | Self::Limit => None,
                Self::Interval(least) => Some(value::written_duration(*least)),
            },
            most: None,
        }
    }
}

impl Defaulted for Time {
    type Constant = Duration;

    fn value(&self, constant: Duration) -> Duration {
        constant
    }

    fn written(&self, constant: Duration) -> Written {
        Written::Text(value::written_duration(constant))
    }
}

/// As in `250ms`, or `never`, which is `None`.
#[derive(Debug)]
pub struct PeriodOrNever;

impl Kind for PeriodOrNever {
    type Value = Option<Duration>;

    fn shape(&self) -> Shape {
        text(Form::DurationOrNever)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Option<Duration>> {
        reader.parse(node, "a duration or `never`", None, |text| match text {
            "never" => Ok(None),
            _ => value::duration(text)
                .map(Some)
                .map_err(|hint| format!("`never`, or {hint}")),
        })
    }
}

impl Defaulted for PeriodOrNever {
    type Constant = Option<Duration>;

    fn value(&self, constant: Option<Duration>) -> Option<Duration> {
        constant
    }

    fn written(&self, constant: Option<Duration>) -> Written {
        Written::Text(constant.map_or_else(|| "never".to_owned(), value::written_duration))
    }
}

/// As in `250ms`, or `none`, which is `None`.
#[derive(Debug)]
pub struct TimeLimitOrNone;

impl Kind for TimeLimitOrNone {
    type Value = Option<Duration>;

    fn shape(&self) -> Shape {
        text(Form::DurationOrNone)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Option<Duration>> {
        match is_none(node) {
            true => Some(None),
            false => reader.time_limit(node).map(Some),
        }
    }
}

/// As in `64KiB`.
#[derive(Debug)]
pub struct Size<T> {
    least: u64,
    most: u64,
    number: PhantomData<fn() -> T>,
}

/// A size within bounds.
pub const fn size<T>(least: u64, most: u64) -> Size<T> {
    Size {
        least,
        most,
        number: PhantomData,
    }
}

impl<T: TryFrom<u64> + fmt::Debug + 'static> Kind for Size<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        text(Form::Size)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<T> {
        let size = reader.size(node, self.least..=self.most)?;
        T::try_from(size).ok()
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(value::written(self.least), value::written(self.most))
    }
}

impl Defaulted for Size<usize> {
    type Constant = usize;

    fn value(&self, constant: usize) -> usize {
        constant
    }

    fn written(&self, constant: usize) -> Written {
        Written::Text(value::written(constant as u64))
    }
}

/// As in `64KiB`, or `none`, which is `None`.
#[derive(Debug)]
pub struct SizeOrNone {
    /// The largest one.
    pub most: u64,
}

impl Kind for SizeOrNone {
    type Value = Option<u64>;

    fn shape(&self) -> Shape {
        text(Form::SizeOrNone)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Option<u64>> {
        match is_none(node) {
            true => Some(None),
            false => reader.size(node, 0..=self.most).map(Some),
        }
    }
}

impl Defaulted for SizeOrNone {
    type Constant = Option<u64>;

    fn value(&self, constant: Option<u64>) -> Option<u64> {
        constant
    }

    fn written(&self, constant: Option<u64>) -> Written {
        Written::Text(constant.map_or_else(|| "none".to_owned(), value::written))
    }
}

/// As in `1KiB/s` or `1KiB/s over 10s`, or `none`, which is `None`.
#[derive(Debug)]
pub struct RateOrNone;

/// A rate as a constant, over the usual time.
pub const fn rate(bytes: u64) -> BodyRate {
    BodyRate {
        bytes,
        over: RATE_PERIOD,
    }
}

impl Kind for RateOrNone {
    type Value = Option<BodyRate>;

    fn shape(&self) -> Shape {
        text(Form::RateOrNone)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Option<BodyRate>> {
        if is_none(node) {
            return Some(None);
        }
        let form = || "as in 1KiB/s, or 1KiB/s over 10s, or none".to_owned();
        let stand_in = rate(1 << 10);
        let read = |text: &str| body_rate(text).ok_or_else(form);
        reader.parse(node, "a rate", stand_in, read).map(Some)
    }
}

impl Defaulted for RateOrNone {
    type Constant = Option<BodyRate>;

    fn value(&self, constant: Option<BodyRate>) -> Option<BodyRate> {
        constant
    }

    fn written(&self, constant: Option<BodyRate>) -> Written {
        let text = |rate: BodyRate| {
            let (size, over) = (
                value::written(rate.bytes),
                value::written_duration(rate.over),
            );
            format!("{size}/s over {over}")
        };
        Written::Text(constant.map_or_else(|| "none".to_owned(), text))
    }
}

/// As in `1KiB/s`, or `1KiB/s over 10s`.
fn body_rate(text: &str) -> Option<BodyRate> {
    let (size, over) = match text.split_once(" over ") {
        Some((rate, over)) => (rate, value::duration(over).ok()?),
        None => (text, RATE_PERIOD),
    };
    let bytes = value::size(size.strip_suffix("/s")?).ok()?;
    (bytes > 0 && !over.is_zero()).then_some(BodyRate { bytes, over })
}

fn is_none(node: &Node) -> bool {
    node.scalar()
        .is_some_and(|scalar| !scalar.is_placeholder() && scalar.text() == "none")
}
