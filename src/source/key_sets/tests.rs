use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::TokenIssuers;
use crate::identity::Rules;
use crate::identity::token::{Algorithm, KeySource, TokenPlace, TokenSource};

const ONE: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const TWO: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"two","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"OKP","crv":"Ed25519","kid":"three","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn rules(keys: KeySource) -> Rules {
    let mut rules = Rules::default();
    rules.tokens.sources.push(TokenSource {
        keys,
        issuer: None,
        audiences: Vec::new(),
        claim: "sub".into(),
        algorithms: vec![Algorithm::EdDsa],
        place: TokenPlace::Cookie("session".into()),
    });
    rules
}

async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_again_when_it_changes_and_kept_when_it_is_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, ONE).expect("written");
    let issuers = TokenIssuers::default();
    let mut rules = rules(KeySource::File(path.clone()));
    issuers.equip(&mut rules);
    let standing = || issuers.standings(&rules).remove(0);
    assert_eq!((standing().keys, standing().standing.trouble), (1, None));
    std::fs::write(&path, TWO).expect("written");
    until(|| standing().keys == 2).await;
    std::fs::write(&path, "nothing of that kind").expect("written");
    until(|| standing().standing.trouble.is_some()).await;
    assert_eq!(standing().keys, 2, "those that there were stay");
    std::fs::write(&path, ONE).expect("written");
    until(|| standing().standing.trouble.is_none()).await;
    assert_eq!(standing().keys, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_outlive_a_configuration_that_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, ONE).expect("written");
    let issuers = TokenIssuers::default();
    let mut first = rules(KeySource::File(path.clone()));
    issuers.equip(&mut first);
    let mut second = rules(KeySource::File(path.clone()));
    issuers.equip(&mut second);
    drop(first);
    let standing = issuers.standings(&second).remove(0);
    assert_eq!(
        (standing.keys, standing.fetches),
        (1, [1, 0]),
        "not read twice"
    );
    drop(second);
    assert!(issuers.standings(&rules(KeySource::File(path))).is_empty());
}
