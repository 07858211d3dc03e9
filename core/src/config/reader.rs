//! Reads single values off the tree, noting what cannot be read. Nodes of the wrong kind are passed over: the
//! structure check has said so already.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use regex::Regex;

use super::node::{Node, Scalar};
use super::problems::Problems;
use super::value;
use crate::cluster::UpstreamUrl;
use crate::context::Moment;
use crate::flag::Share;
use crate::host::HostPattern;

/// Reads nodes and collects every problem.
#[derive(Debug)]
pub struct Reader {
    /// The problems so far.
    pub problems: Problems,
    /// The moment to judge dates by.
    pub now: Moment,
}

impl Reader {
    /// A reader that has found nothing wrong yet.
    pub fn new(now: Moment) -> Self {
        Self {
            problems: Problems::default(),
            now,
        }
    }

    /// Reads a value. `parse` says what would help when it cannot. A placeholder is read as the `stand_in`, so that the
    /// rest can be checked.
    pub fn parse<T>(
        &mut self,
        node: &Node,
        what: &str,
        stand_in: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let scalar = node.scalar().filter(|scalar| !scalar.is_nothing())?;
        if scalar.is_placeholder() {
            return Some(stand_in);
        }
        parse(scalar.text())
            .map_err(|hint| self.refuse(node, scalar, what, hint))
            .ok()
    }

    /// Notes that a value is not what it should be. A value that was put in for `${…}` may be secret and is not shown.
    fn refuse(&mut self, node: &Node, scalar: &Scalar, what: &str, hint: String) {
        let shown = value::shortened(scalar.shown());
        if scalar.is_filled() {
            let message = format!("what stands for `{shown}` is not {what}");
            self.problems.error(node.span, message);
        } else {
            let message = format!("`{shown}` is not {what}");
            self.problems.error(node.span, message).hint(hint);
        }
    }

    /// `true` or `false`, without quotes.
    pub fn bool(&mut self, node: &Node) -> Option<bool> {
        let quoted = node.scalar().is_some_and(Scalar::is_quoted);
        self.parse(node, "true or false", false, |text| match text {
            "true" if !quoted => Ok(true),
            "false" if !quoted => Ok(false),
            "true" | "false" => Err("without the quotes".to_owned()),
            _ => Err("write `true` or `false`".to_owned()),
        })
    }

    /// A whole number within bounds, without quotes.
    pub fn integer(&mut self, node: &Node, bounds: RangeInclusive<u32>) -> Option<u32> {
        let quoted = node.scalar().is_some_and(Scalar::is_quoted);
        let hint = if quoted {
            "without the quotes".to_owned()
        } else {
            format!("a whole number from {} to {}", bounds.start(), bounds.end())
        };
        self.parse(
            node,
            "a number that can stand here",
            *bounds.start(),
            |text| {
                text.parse()
                    .ok()
                    .filter(|number| !quoted && bounds.contains(number))
                    .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
                    .ok_or(hint)
            },
        )
    }

    /// A text that is not empty; nothing for a placeholder.
    pub fn name<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let scalar = node.scalar()?;
        if scalar.is_placeholder() {
            return None;
        }
        if scalar.text().is_empty() && scalar.is_quoted() {
            self.problems.error(node.span, "a name is not empty");
        }
        Some(scalar.text()).filter(|text| !text.is_empty())
    }

    /// As in `250ms`.
    pub fn duration(&mut self, node: &Node) -> Option<Duration> {
        let stand_in = Duration::from_secs(10);
        self.parse(node, "a duration", stand_in, value::duration)
    }

    /// As in `250ms`, and longer than nothing.
    pub fn time_limit(&mut self, node: &Node) -> Option<Duration> {
        let stand_in = Duration::from_secs(10);
        self.parse(node, "a time limit", stand_in, |text| {
            value::duration(text).and_then(|limit| {
                let none = || "a time limit is longer than 0".to_owned();
                Some(limit)
                    .filter(|limit| !limit.is_zero())
                    .ok_or_else(none)
            })
        })
    }

    /// As in `250ms`, and not less than `least`.
    pub fn interval(&mut self, node: &Node, least: Duration) -> Option<Duration> {
        self.parse(node, "an interval", least, |text| {
            let interval = value::duration(text)?;
            Some(interval)
                .filter(|interval| *interval >= least)
                .ok_or_else(|| format!("at least {}", value::written_duration(least)))
        })
    }

    /// As in `64KiB`, within bounds.
    pub fn size(&mut self, node: &Node, bounds: RangeInclusive<u64>) -> Option<u64> {
        let stand_in = *bounds.start();
        self.parse(node, "a size that can stand here", stand_in, |text| {
            let size = value::size(text)?;
            Some(size)
                .filter(|size| bounds.contains(size))
                .ok_or_else(|| {
                    let [least, most] =
                        [bounds.start(), bounds.end()].map(|size| value::written(*size));
                    format!("from {least} to {most}")
                })
        })
    }

    /// As in `5%`.
    pub fn share(&mut self, node: &Node) -> Option<Share> {
        self.parse(node, "a percentage", Share::ALL, |text| {
            text.parse::<Share>().map_err(|error| error.to_string())
        })
    }

    /// An upstream's URL.
    pub fn url(&mut self, node: &Node) -> Option<UpstreamUrl> {
        let stand_in = value::placeholder_url()?;
        self.parse(node, "an upstream's URL", stand_in, |text| {
            text.parse::<UpstreamUrl>()
                .map_err(|error| error.to_string())
        })
    }

    /// An IP address with its port.
    pub fn address(&mut self, node: &Node) -> Option<SocketAddr> {
        let stand_in = SocketAddr::from(([127, 0, 0, 1], 0));
        self.parse(node, "an address to listen on", stand_in, value::address)
    }

    /// A host: a name, `*.` and a name, or an IP address.
    pub fn host(&mut self, node: &Node) -> Option<HostPattern> {
        let stand_in = HostPattern::Exact("placeholder.invalid".into());
        self.parse(node, "a host", stand_in, value::host)
    }

    /// A method. Other words than the known ones are methods, too, unless they look like a slip.
    pub fn method(&mut self, node: &Node) -> Option<Method> {
        let method = self.parse(node, "a method", Method::GET, value::method)?;
        let known = value::METHODS.contains(&method.as_str());
        if !known && let Some(hint) = self.problems.suggest(method.as_str(), value::METHODS) {
            let message = format!("`{method}` is no method that is known");
            self.problems.warning(node.span, message).hint(hint);
        }
        Some(method)
    }

    /// A network, or an address, which stands for the network of itself alone.
    pub fn network(&mut self, node: &Node) -> Option<IpNet> {
        let stand_in = IpNet::from(std::net::IpAddr::from([127, 0, 0, 1]));
        self.parse(node, "a network", stand_in, value::network)
    }

    /// The name of a header.
    pub fn header_name(&mut self, node: &Node) -> Option<HeaderName> {
        let stand_in = HeaderName::from_static("x-placeholder");
        self.parse(node, "the name of a header", stand_in, value::header_name)
    }

    /// The value of a header.
    pub fn header_value(&mut self, node: &Node) -> Option<HeaderValue> {
        let stand_in = HeaderValue::from_static("placeholder");
        self.parse(node, "the value of a header", stand_in, value::header_value)
    }

    /// An expression that must match the whole of a text.
    pub fn whole_regex(&mut self, node: &Node) -> Option<Regex> {
        let stand_in = Regex::new("^$").ok()?;
        self.parse(node, "a regular expression", stand_in, value::whole_regex)
    }
}
