//! A request's overrides in words.

use std::fmt;

use crate::context::Moment;
use crate::decide::overriding::Overriding;

/// What the request's overrides come to, if it shows any.
pub(super) fn write_overriding(f: &mut fmt::Formatter<'_>, overriding: &Overriding) -> fmt::Result {
    if let Some((read, result)) = &overriding.read {
        let until = Moment {
            unix_ms: read.expires.saturating_mul(1000),
        };
        write!(f, "override to {:?} until {until}", read.deployment)?;
        if let Some(user) = &read.user {
            write!(f, ", for {user:?} alone")?;
        }
        writeln!(f, ": {}", result.as_str())?;
    }
    let others = overriding.results.iter();
    let said = overriding.read.as_ref().map(|(_, result)| *result);
    for other in others.filter(|result| Some(*result) != said) {
        writeln!(f, "an override is {}, and ignored", other.as_str())?;
    }
    Ok(())
}
