//! Versions that users send, compared where they stand: a parsed `semver::Version` would own its identifiers.

use std::cmp::Ordering;

use semver::Version;

/// A semantic version (semver.org 2.0.0), as far as precedence goes: the build metadata is checked and left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionText<'a> {
    core: [u64; 3],
    pre_release: &'a str,
}

impl<'a> VersionText<'a> {
    /// Reads a whole version, as strictly as the crate `semver` does; no leading `v`, nothing left out.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (major, rest) = leading_number(text)?;
        let (minor, rest) = leading_number(rest.strip_prefix('.')?)?;
        let (patch, rest) = leading_number(rest.strip_prefix('.')?)?;
        let version = |pre_release| Self {
            core: [major, minor, patch],
            pre_release,
        };
        if rest.is_empty() {
            return Some(version(""));
        }
        let (pre_release, build) = match rest.split_once('+') {
            Some((pre_release, build)) => (pre_release, Some(build)),
            None => (rest, None),
        };
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        if pre_release.is_empty() {
            return Some(version(""));
        }
        let pre_release = pre_release.strip_prefix('-')?;
        let sound = |part: &str| is_identifier(part) && !(is_number(part) && leads_with_zero(part));
        let all_sound = pre_release.split('.').all(sound);
        all_sound.then(|| version(pre_release))
    }

    /// Which of the two comes first (semver.org, rule 11).
    pub(super) fn cmp_precedence(&self, other: &Version) -> Ordering {
        let core = self.core.cmp(&[other.major, other.minor, other.patch]);
        core.then_with(|| pre_release_order(self.pre_release, other.pre.as_str()))
    }
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

fn leads_with_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0')
}

/// The number that a text begins with, and what comes after it.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let bytes = text.bytes();
    let length = bytes.take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    if leads_with_zero(digits) {
        return None;
    }
    // Parsing refuses what has no digits, and what is too large.
    Some((digits.parse().ok()?, rest))
}

/// A release comes after its pre-releases; identifiers compare one by one, and fewer come first.
fn pre_release_order(one: &str, other: &str) -> Ordering {
    if one.is_empty() || other.is_empty() {
        return one.is_empty().cmp(&other.is_empty());
    }
    let mut others = other.split('.');
    for part in one.split('.') {
        let Some(other) = others.next() else {
            return Ordering::Greater;
        };
        let order = identifier_order(part, other);
        if order.is_ne() {
            return order;
        }
    }
    match others.next() {
        Some(_) => Ordering::Less,
        None => Ordering::Equal,
    }
}

/// Numbers compare as numbers and come before words. Without leading zeros the longer number is the greater one.
fn identifier_order(one: &str, other: &str) -> Ordering {
    match (is_number(one), is_number(other)) {
        (true, true) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::VersionText;

    const TEXTS: &[&str] = &[
        "0.0.0",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "10.1.0",
        "9.9.9",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0-rc.1+build.7",
        "1.0.0+build",
        "1.0.0+0-0.001",
        "1.0.0-0",
        "1.0.0-a-b",
        "1.0.0--",
        "1.0.0-SNAPSHOT.20261101.99999999999999999999",
        "18446744073709551615.0.0",
        "18446744073709551616.0.0",
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0+",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0-ä",
        " 1.0.0",
        "1.0.0 ",
        "1.0.x",
        "+",
        "-",
        "1.0.0-1+",
        "1.0.0+a+b",
        "-1.0.0",
        "1.-1.0",
    ];

    #[test]
    fn reads_and_orders_as_the_crate_does() {
        for one in TEXTS {
            let (ours, theirs) = (VersionText::parse(one), Version::parse(one).ok());
            assert_eq!(ours.is_some(), theirs.is_some(), "{one:?}");
            let Some((ours, theirs)) = ours.zip(theirs) else {
                continue;
            };
            for other in TEXTS.iter().filter_map(|text| Version::parse(text).ok()) {
                assert_eq!(
                    ours.cmp_precedence(&other),
                    theirs.cmp_precedence(&other),
                    "{one} and {other}"
                );
            }
        }
    }
}
