//! Parses single values: texts to typed values. An error is a hint: how such a value is written.

pub mod targets;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::{IpNet, Ipv4Net};
use regex::{Regex, RegexBuilder};

use crate::cluster::UpstreamUrl;
use crate::context::Moment;
use crate::engine::origin::{FILE, SERIN};
use crate::flag::{Share, ShareError};
use crate::host::HostPattern;

/// A day in milliseconds; a moment's calendar knows no leap seconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How large a compiled expression may be: one of a few hundred characters stays far below.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// As in `250ms`, `10s`, `5m`, `1h`, `30d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let form =
        || "a duration is a whole number and a unit, as in 250ms, 10s, 5m, 1h or 30d".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        _ => return Err(form()),
    };
    if number.is_empty() {
        return Err(form());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        // A thousand years: beyond that, adding it to a point in time could overflow.
        .filter(|ms| *ms <= 365_000 * 24 * 3600 * 1000)
        .map(Duration::from_millis)
        .ok_or_else(|| "that is longer than a thousand years".to_owned())
}

/// A duration as a file would write it: in the largest unit that gives a whole number above 1, otherwise in seconds, or in
/// milliseconds where it is no whole number of seconds.
pub fn written_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() != 0 {
        return format!("{}ms", duration.as_millis());
    }
    let units = [("d", 24 * 3600), ("h", 3600), ("m", 60)];
    let several = |(_, unit): &(&str, u64)| seconds.is_multiple_of(*unit) && seconds / unit > 1;
    match units.into_iter().find(several) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// The units of sizes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// As in `512B`, `64KiB`, `10MiB`, `2GiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    unit.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes))
        .ok_or_else(|| "a size is a whole number and a unit, as in 64KiB, 10MiB or 1GiB".to_owned())
}

/// A size, written in the largest unit that it is a whole number of.
pub fn written(size: u64) -> String {
    let unit = SIZE_UNITS
        .iter()
        .find(|(_, bytes)| size.is_multiple_of(*bytes));
    let (name, bytes) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", size / bytes)
}

/// A variant's weight, in thousandths.
pub fn weight(text: &str) -> Result<u32, String> {
    let too_fine = "a weight has at most one decimal (steps of 0.1%)";
    match text.parse::<Share>() {
        Ok(share) if share.hundredths() % 10 == 0 => Ok(u32::from(share.hundredths() / 10)),
        Ok(_) | Err(ShareError::TooFine) => Err(too_fine.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A calendar day, as its last millisecond in UTC.
pub fn end_of_day(text: &str) -> Result<Moment, String> {
    let form = |_| "a date is written as in 2027-01-31".to_owned();
    let day: jiff::civil::Date = text.parse().map_err(form)?;
    let start = format!("{day}T00:00:00Z")
        .parse::<jiff::Timestamp>()
        .map_err(form)?;
    Ok(Moment {
        unix_ms: start.as_millisecond() + DAY_MS - 1,
    })
}

/// A moment as RFC 3339 writes it: a bare day is its beginning in UTC.
pub fn moment(text: &str) -> String {
    match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == 10 => format!("{day}T00:00:00Z"),
        _ => text.to_owned(),
    }
}

/// An IP address with a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.trim_start_matches(['*', ':']);
        let only_port = port.len() < text.len() || text.bytes().all(|b| b.is_ascii_digit());
        if only_port && port.parse::<u16>().is_ok() {
            format!("for every address write 0.0.0.0:{port}")
        } else {
            "an IP address and a port, as in 127.0.0.1:8080 or [::]:8080".to_owned()
        }
    })
}

/// A network in CIDR notation, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(canonical)
        .map_err(|_| {
            "a network is written as in 10.0.0.0/8 or fd00::/8, an address as 192.0.2.7".to_owned()
        })
}

/// IPv4 networks in IPv6 clothes are IPv4 networks, as the addresses are that are looked for in them.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let length = v6.prefix_len().checked_sub(96);
    v6.network()
        .to_ipv4_mapped()
        .zip(length)
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}

/// A host: a name, `*.` and a name, or an address, which stands in brackets if it is IPv6.
pub fn host(text: &str) -> Result<HostPattern, String> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if name == "*" {
        return Err("for every host leave `hosts` out".to_owned());
    }
    if let Some(inner) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        && inner.parse::<Ipv6Addr>().is_ok()
    {
        return Ok(HostPattern::Exact(name.into()));
    }
    let (suffix, wildcard) = match name.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (name, false),
    };
    if suffix.contains('*') {
        return Err("a `*` stands at the front, for whole labels, as in *.example.com".to_owned());
    }
    if suffix.contains(':') {
        return Err("a host is written without scheme and port".to_owned());
    }
    if !suffix.is_ascii() {
        return Err("a name beyond ASCII is written in its xn-- form".to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if suffix.len() > 253 || !suffix.split('.').all(label) {
        return Err("a host is a name such as api.example.com, or *.example.com".to_owned());
    }
    Ok(if wildcard {
        HostPattern::Wildcard(suffix.into())
    } else {
        HostPattern::Exact(suffix.into())
    })
}

/// The methods that are widely known: those of HTTP (RFC 9110, section 9; RFC 5789), of WebDAV (RFC 4918) and of caches.
pub const METHODS: [&str; 18] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "PURGE",
];

/// A method (RFC 9110, section 9); they are case-sensitive.
pub fn method(text: &str) -> Result<Method, String> {
    let upper = text.to_ascii_uppercase();
    if upper == "CONNECT" {
        return Err("CONNECT is never let through".to_owned());
    }
    if upper != text && METHODS.contains(&upper.as_str()) {
        return Err(format!("methods are case-sensitive: write {upper}"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| "a method is a word such as GET".to_owned())
}

/// The name of a header field.
pub fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| "a header's name has letters, digits and -, as in x-user-id".to_owned())
}

/// The value of a header field.
pub fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|_| "a header's value has visible ASCII characters only".to_owned())
}

/// A cookie's name (RFC 6265, section 4.1.1).
pub fn cookie_name(text: &str) -> Result<Box<str>, String> {
    if is_token(text) {
        Ok(text.into())
    } else {
        Err("a cookie's name has letters, digits, - and _".to_owned())
    }
}

/// Whether a text is a token (RFC 9110, section 5.6.2).
pub fn is_token(text: &str) -> bool {
    let extra = b"!#$%&'*+-.^_`|~";
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

/// The name of a service: it stands in headers, metrics and as a key of `baggage`.
pub fn service_name(text: &str) -> Result<(), String> {
    identifier(text, "._-")
}

/// The name of a flag or variant: it stands in headers and metrics.
pub fn flag_name(text: &str) -> Result<(), String> {
    identifier(text, "._-/~")
}

/// The name of a flag server among the sources: it stands in metrics, status and file names.
pub fn source_name(text: &str) -> Result<Arc<str>, String> {
    service_name(text)?;
    if OTHER_SOURCES.contains(&text) {
        return Err("another source is always called so".to_owned());
    }
    Ok(text.into())
}

/// Names that other sources always have.
const OTHER_SOURCES: [&str; 3] = [FILE, SERIN, "launchdarkly"];

/// The name of an application, as a flag server shows it.
pub fn app_name(text: &str) -> Result<Arc<str>, String> {
    service_name(text).map(|()| text.into())
}

/// The name of a variant.
pub fn variant_name(text: &str) -> Result<Arc<str>, String> {
    flag_name(text).map(|()| text.into())
}

/// The name of a project or an environment of Unleash: it stands in its URLs.
pub fn unleash_name(text: &str) -> Result<Arc<str>, String> {
    identifier(text, "._-~").map(|()| text.into())
}

fn identifier(text: &str, signs: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(inner) {
        return Err(format!(
            "ASCII letters, digits and any of {signs}, beginning with a letter or digit"
        ));
    }
    if text.len() > 128 {
        return Err("at most 128 characters".to_owned());
    }
    Ok(())
}

/// An expression that matches the whole of a text.
pub fn whole_regex(text: &str) -> Result<Regex, String> {
    let compile = |expression: &str| {
        RegexBuilder::new(expression)
            .size_limit(MAX_REGEX_BYTES)
            .build()
            .map_err(|error| reason(&error))
    };
    // By itself first: `a)|(b` would make sense between the anchors, another one than it says.
    compile(text)?;
    compile(&format!("^(?:{text})$"))
}

/// The regex parser draws the place over several lines; its last line says what is wrong.
fn reason(error: &regex::Error) -> String {
    let whole = error.to_string();
    let last = whole.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// A URL that stands for one that is unset. Its name never resolves (RFC 6761, section 6.4).
pub fn placeholder_url() -> Option<UpstreamUrl> {
    "http://placeholder.invalid".parse().ok()
}

/// A text, cut to a length that fits in a message.
pub fn shortened(text: &str) -> String {
    let most = 60;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        duration, end_of_day, host, network, size, weight, whole_regex, written, written_duration,
    };
    use crate::host::HostPattern;

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for text in [
            "",
            "s",
            "5",
            "5 s",
            "1.5s",
            "-1s",
            "1m30s",
            "1S",
            "99999999999999999999s",
            "999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_people_would() {
        for text in ["250ms", "1s", "60s", "75s", "5m", "3h", "7d", "365d", "0s"] {
            let read = duration(text).expect(text);
            assert_eq!(written_duration(read), text);
        }
        assert_eq!(written_duration(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn sizes_are_whole_numbers_with_units() {
        for (text, bytes) in [
            ("512B", 512),
            ("64KiB", 64 << 10),
            ("10MiB", 10 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(written(bytes), text);
        }
        for text in [
            "",
            "64",
            "KiB",
            "64kb",
            "64 KiB",
            "1.5MiB",
            "-1B",
            "99999999999GiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn weights_are_thousandths() {
        assert_eq!(weight("33.3%"), Ok(333));
        assert_eq!(weight("100%"), Ok(1000));
        assert!(weight("33.33%").is_err() && weight("0.001%").is_err() && weight("50").is_err());
    }

    #[test]
    fn a_day_ends_with_its_last_millisecond() {
        let moment = end_of_day("1970-01-01").expect("a date");
        assert_eq!(moment.unix_ms, 86_399_999);
        assert!(end_of_day("2027-02-30").is_err() && end_of_day("soon").is_err());
    }

    #[test]
    fn networks_of_ipv4_in_ipv6_clothes_are_ipv4() {
        for (text, expected) in [
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            let read = network(text).expect(text).to_string();
            assert_eq!(read.parse::<ipnet::IpNet>(), expected.parse(), "{text}");
        }
        for text in ["", "10.0.0.0/33", "::ffff:10.0.0.0/129", "a.example"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_wildcards_in_lower_case() {
        assert_eq!(
            host("API.example.com."),
            Ok(HostPattern::Exact("api.example.com".into()))
        );
        assert_eq!(
            host("*.Example.com"),
            Ok(HostPattern::Wildcard("example.com".into()))
        );
        assert_eq!(host("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for text in [
            "*",
            "",
            "a..b",
            "a:80",
            "http://a",
            "*.*.b",
            "a*.b",
            "*.",
            "bücher.example",
            "a b",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn expressions_match_as_a_whole() {
        let regex = whole_regex("a|b+").expect("an expression");
        assert!(regex.is_match("bbb") && !regex.is_match("ab") && !regex.is_match("ca"));
        assert!(whole_regex("a)|(b").is_err());
        assert_eq!(whole_regex("(").err().as_deref(), Some("unclosed group"));
    }
}
