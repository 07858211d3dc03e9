//! Whether conditions hold for a user. Nothing here allocates, except where letters beyond ASCII ignore case.

use std::cmp::Ordering;
use std::net::IpAddr;

use jiff::Timestamp;

use super::version::VersionText;
use super::{Compare, Condition, Constraint, FieldValue, Test, TextSet, Texts};
use crate::context::{Context, Field, Moment, ShortText};
use crate::engine::trace::Trace;

impl Condition {
    /// Whether the condition holds. Parts that cannot change the answer are skipped.
    pub fn holds<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> bool {
        match self {
            Self::Test(constraint) => {
                let seen = constraint.look(context, moment);
                let held = constraint.test.passes(seen);
                trace.constraint_tested(constraint, seen, held);
                return held;
            }
            Self::Settled(settled) => {
                let seen = settled
                    .value
                    .as_deref()
                    .map_or(FieldValue::Missing, FieldValue::Text);
                trace.constraint_tested(&settled.constraint, seen, settled.held);
                return settled.held;
            }
            _ => trace.condition_begin(self),
        }
        let held = match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(context, moment, trace)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(context, moment, trace)),
            Self::Not(inner) => !inner.holds(context, moment, trace),
            Self::Segment(segment) => segment.condition.holds(context, moment, trace),
            Self::Never(_) | Self::Test(_) | Self::Settled(_) => false,
        };
        trace.condition_end(held);
        held
    }
}

impl Constraint {
    /// The value of the constraint's field. The unspecified address stands for a missing one.
    fn look<'a>(&self, context: &'a Context<'_>, moment: Moment) -> FieldValue<'a> {
        match self.field {
            Field::RemoteAddress => match context.remote_address.to_canonical() {
                address if address.is_unspecified() => FieldValue::Missing,
                address => FieldValue::Address(address),
            },
            Field::Now => FieldValue::Moment(moment),
            field => context
                .text(field)
                .map_or(FieldValue::Missing, FieldValue::Text),
        }
    }
}

impl Test {
    /// Whether a value passes. A value that cannot be read as the test needs it is like a missing one.
    pub fn passes(&self, seen: FieldValue<'_>) -> bool {
        match (self, seen) {
            (_, FieldValue::Address(address)) if !self.is_of_networks() => {
                self.passes(FieldValue::Text(ShortText::of_address(address).as_str()))
            }
            (_, FieldValue::Moment(moment)) if self.is_of_text() => {
                self.passes(FieldValue::Text(ShortText::of_moment(moment).as_str()))
            }
            (Self::NotIn(set), FieldValue::Text(text)) => !set.contains(text),
            (Self::NotIn(_), _) => true,
            (Self::Within(nets), _) => seen.address().is_some_and(|address| within(nets, address)),
            (Self::NotWithin(nets), _) => {
                !seen.address().is_some_and(|address| within(nets, address))
            }
            (Self::Date(compare, border), FieldValue::Moment(moment)) => {
                compare.accepts(moment.cmp(border))
            }
            (Self::In(set), FieldValue::Text(text)) => set.contains(text),
            (Self::StartsWith(texts), FieldValue::Text(text)) => texts.any(text, Fit::Start),
            (Self::EndsWith(texts), FieldValue::Text(text)) => texts.any(text, Fit::End),
            (Self::Contains(texts), FieldValue::Text(text)) => texts.any(text, Fit::Anywhere),
            (Self::Number(compare, number), FieldValue::Text(text)) => text
                .parse()
                .is_ok_and(|value| compare.accepts_number(value, *number)),
            (Self::Date(compare, border), FieldValue::Text(text)) => {
                timestamp(text).is_some_and(|time| compare.accepts(time_order(time, *border)))
            }
            (Self::Semver(compare, version), FieldValue::Text(text)) => VersionText::parse(text)
                .is_some_and(|value| compare.accepts(value.cmp_precedence(version))),
            (Self::Matches(expression), FieldValue::Text(text)) => expression.is_match(text),
            _ => false,
        }
    }
}

impl Test {
    fn is_of_networks(&self) -> bool {
        matches!(self, Self::Within(_) | Self::NotWithin(_))
    }

    fn is_of_text(&self) -> bool {
        match self {
            Self::In(_)
            | Self::NotIn(_)
            | Self::StartsWith(_)
            | Self::EndsWith(_)
            | Self::Contains(_)
            | Self::Matches(_) => true,
            Self::Within(_)
            | Self::NotWithin(_)
            | Self::Number(..)
            | Self::Date(..)
            | Self::Semver(..) => false,
        }
    }
}

impl FieldValue<'_> {
    /// The address that was seen, or that the text is.
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Text(text) => text
                .parse()
                .ok()
                .map(|address: IpAddr| address.to_canonical()),
            Self::Missing | Self::Moment(_) => None,
        }
    }
}

impl Compare {
    /// Whether a value that stands like this to the border is accepted.
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }

    /// The same for numbers, of which not every pair has an order. Equal is what Unleash's engine calls equal.
    fn accepts_number(self, value: f64, border: f64) -> bool {
        match self {
            Self::Eq => (value - border).abs() < f64::EPSILON,
            Self::Gt => value > border,
            Self::Gte => value >= border,
            Self::Lt => value < border,
            Self::Lte => value <= border,
        }
    }
}

fn within(nets: &[ipnet::IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// Finer than the border's milliseconds, so that a time just after it is after it.
fn time_order(time: Timestamp, border: Moment) -> Ordering {
    let nanos = i128::from(border.unix_ms) * 1_000_000;
    time.as_nanosecond().cmp(&nanos)
}

/// Reads RFC 3339. What does not even look like it is sorted out first: the parser would allocate its complaint.
fn timestamp(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (head, tail) = text.as_bytes().split_at_checked(SHAPE.len())?;
    let fits = head.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        _ => byte == shape,
    });
    let tail_fits = !tail.is_empty()
        && tail.len() <= "+00:00".len() + ".123456789".len()
        && tail
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".:+-Zz".contains(byte));
    (fits && tail_fits).then(|| text.parse().ok()).flatten()
}

/// IDs longer than this are compared one by one when case is ignored, which takes no copy in lower case.
const FOLDED: usize = 128;

impl TextSet {
    fn contains(&self, text: &str) -> bool {
        if !self.ignore_case {
            return self.texts.contains(text);
        }
        if !text.is_ascii() {
            return self.texts.contains(text.to_lowercase().as_str());
        }
        let mut folded = [0_u8; FOLDED];
        let Some(folded) = folded.get_mut(..text.len()) else {
            return self.texts.iter().any(|of| of.eq_ignore_ascii_case(text));
        };
        folded.copy_from_slice(text.as_bytes());
        folded.make_ascii_lowercase();
        std::str::from_utf8(folded).is_ok_and(|folded| self.texts.contains(folded))
    }
}

/// Where a text must stand in another.
#[derive(Clone, Copy)]
enum Fit {
    Start,
    End,
    Anywhere,
}

impl Texts {
    fn any(&self, text: &str, fit: Fit) -> bool {
        let exact = |text: &str| {
            self.texts.iter().any(|part| match fit {
                Fit::Start => text.starts_with(&**part),
                Fit::End => text.ends_with(&**part),
                Fit::Anywhere => text.contains(&**part),
            })
        };
        match (self.ignore_case, text.is_ascii()) {
            (false, _) => exact(text),
            (true, false) => exact(&text.to_lowercase()),
            (true, true) => self
                .texts
                .iter()
                .any(|part| fits_ignoring_case(text.as_bytes(), part.as_bytes(), fit)),
        }
    }
}

/// `text` is ASCII, so a part with other letters is not found in it, as it should be.
fn fits_ignoring_case(text: &[u8], part: &[u8], fit: Fit) -> bool {
    let Some(room) = text.len().checked_sub(part.len()) else {
        return false;
    };
    let starts = match fit {
        Fit::Start => 0..=0,
        Fit::End => room..=room,
        Fit::Anywhere => 0..=room,
    };
    starts.into_iter().any(|start| {
        text.get(start..start + part.len())
            .is_some_and(|window| window.eq_ignore_ascii_case(part))
    })
}

#[cfg(test)]
mod tests;
