//! The values that Unleash's engine accepts. It writes strategies and constraints into one text that it then parses; a
//! value that its grammar (`strategy_grammar.pest`) does not accept turns the flag off there, and so it does here.

use std::borrow::Cow;

use jiff::civil;

use super::broken::Broken;
use crate::context::Moment;
use crate::engine::condition::{Compare, Test};

/// A text that the engine puts between quotation marks as it is, and as it reads it: `\"` stands for a quotation mark.
///
/// # Errors
/// When the text ends the quotation before its own end, or keeps it from ending.
pub(super) fn quoted(text: &str) -> Result<Cow<'_, str>, Broken> {
    if !text.contains(['"', '\\']) {
        return Ok(Cow::Borrowed(text));
    }
    let unescaped = text.replace("\\\"", "");
    if unescaped.contains('"') {
        return Err(Broken(format!(
            "{text:?} has a quotation mark, which Unleash's engine does not take"
        )));
    }
    ends_well(text)?;
    Ok(Cow::Owned(text.replace("\\\"", "\"")))
}

/// Checks a text whose quotation marks the engine escapes itself.
///
/// # Errors
/// When the text ends with a backslash, which keeps the quotation from ending.
pub(super) fn ends_well(text: &str) -> Result<(), Broken> {
    if text.ends_with('\\') {
        return Err(Broken(format!(
            "{text:?} ends with a backslash, which Unleash's engine does not take"
        )));
    }
    Ok(())
}

/// The test that compares with a value: the value's form, not the operator, says whether as a date, a semantic version or
/// a number.
pub(super) fn ordered(compare: Compare, value: &str) -> Option<Test> {
    let value = value.trim_matches([' ', '\t']);
    if let Some(moment) = date(value) {
        return Some(Test::Date(compare, moment));
    }
    if let Ok(version) = semver::Version::parse(value) {
        return Some(Test::Semver(compare, version));
    }
    let number = is_number(value).then(|| value.parse().ok())?;
    number.map(|number| Test::Number(compare, number))
}

/// `2027-01-01T00:00:00Z`, with three decimals or none, and with an offset or `Z`.
fn date(text: &str) -> Option<Moment> {
    const DATE: &str = "0000-00-00T00:00:00";
    let (head, tail) = text.split_at_checked(DATE.len())?;
    if !has_shape(head, DATE) {
        return None;
    }
    let (fraction, zone) = match tail.strip_prefix('.') {
        Some(tail) => tail.split_at_checked("000".len())?,
        None => ("0", tail),
    };
    if !is_digits(fraction) {
        return None;
    }
    // Not as a timestamp: jiff's end a day before 9999-12-31, which people write for "never".
    let time: civil::DateTime = head.parse().ok()?;
    let since_1970 = time.duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0));
    let milliseconds = since_1970.as_secs().checked_mul(1000)?;
    let fraction: i64 = fraction.parse().ok()?;
    Some(Moment {
        unix_ms: milliseconds + fraction - offset_seconds(zone)? * 1000,
    })
}

/// `Z`, or as in `+02:00`.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let time = zone.get(1..).filter(|time| has_shape(time, "00:00"))?;
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Whether a text has digits where the shape has zeros, and otherwise what the shape has.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(have, want): (u8, u8)| match want {
        b'0' => have.is_ascii_digit(),
        _ => have == want,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

/// Digits with a sign or without, then decimals, then an exponent.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_whole = |text: &str| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    is_whole(whole) && (decimals.is_empty() || is_digits(decimals)) && exponent.is_none_or(is_whole)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{ordered, quoted};
    use crate::context::Moment;
    use crate::engine::condition::{Compare, Test};

    #[test]
    fn the_form_of_a_value_says_what_it_is() {
        let at = |unix_ms| Some(Test::Date(Compare::Gt, Moment { unix_ms }));
        let number = |number| Some(Test::Number(Compare::Gt, number));
        for (value, expected) in [
            ("1970-01-02T00:00:00Z", at(86_400_000)),
            ("1970-01-01T02:00:00.250+02:00", at(250)),
            ("9999-12-31T23:59:59Z", at(253_402_300_799_000)),
            ("2026-02-30T00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.5Z", None),
            ("2026-01-01T00:00:00.+00Z", None),
            ("2026-01-01T00:00:00+24:00", None),
            ("2026-01-01t00:00:00Z", None),
            ("1.2.3.4", None),
            ("01.2.3", None),
            (" 99\t", number(99.0)),
            ("+5.", number(5.0)),
            ("-1.5E+3", number(-1500.0)),
            ("1e999", number(f64::INFINITY)),
            (".5", None),
            ("5\n", None),
            ("", None),
            ("inf", None),
            ("1e", None),
            ("5 or true", None),
        ] {
            assert_eq!(ordered(Compare::Gt, value), expected, "{value:?}");
        }
        let version = ordered(Compare::Eq, "1.2.3-rc.1+b");
        assert!(matches!(version, Some(Test::Semver(Compare::Eq, _))));
    }

    #[test]
    fn quotations_must_end_where_they_end() {
        for (text, expected) in [
            ("a b", Some("a b")),
            (r"a\b", Some(r"a\b")),
            (r#"a\"b"#, Some(r#"a"b"#)),
            (r#"a"b"#, None),
            (r"a\", None),
            (r"a\\", None),
        ] {
            let read = quoted(text).ok();
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
