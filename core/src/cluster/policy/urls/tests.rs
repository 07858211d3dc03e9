use super::{AllowedScheme, UrlPolicy};
use crate::cluster::UpstreamUrl;
use crate::host::HostPattern;

/// The table that the tests of the built binary hold registrations, flags and payloads to.
const TABLE: &str = include_str!("../../../../../tests/it/upstreams/urls.txt");

fn policy() -> UrlPolicy {
    UrlPolicy {
        networks: vec!["127.7.0.0/16".parse().expect("a network")],
        names: Some(vec![
            HostPattern::Wildcard("canary.test".into()),
            HostPattern::Exact("exact.test".into()),
        ]),
        schemes: vec![AllowedScheme::Http],
        ports: [(80, 80), (443, 443), (1024, 65535)]
            .map(|(first, last)| super::PortRange { first, last })
            .to_vec(),
        ..UrlPolicy::nothing()
    }
}

#[test]
fn every_spelling_is_judged_by_the_rule_that_it_breaks() {
    for line in TABLE.lines().filter(|line| line.starts_with('"')) {
        let (url, rule) = line.rsplit_once("\" ").expect("a URL and a rule");
        let url: String = serde_json::from_str(&format!("{url}\"")).expect("a JSON string");
        let said = match url.parse::<UpstreamUrl>() {
            Ok(read) => policy().check(&read).map_err(|refusal| refusal.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match said {
            Ok(()) => assert_eq!(rule, "allowed", "{url}"),
            Err(said) => assert!(said.contains(rule), "{url}: {said}"),
        }
    }
}

/// How an allowed URL is shown is how it is stored, and read again by every later start.
#[test]
fn what_is_allowed_is_read_again_as_it_is_shown() {
    for line in TABLE.lines().filter(|line| line.ends_with("\" allowed")) {
        let url: String = serde_json::from_str(line.trim_end_matches(" allowed")).expect("a URL");
        let read: UpstreamUrl = url.parse().expect("a URL");
        assert_eq!(read.to_string().parse().as_ref(), Ok(&read), "{url}");
    }
}
