//! `attribution.exposures`.

use super::{check_with, config, with};
use crate::config::attribution::{Control, ExposuresConfig, UserForm};
use crate::config::flag_server::Secret;

#[test]
fn it_is_off_unless_it_is_there_and_a_key_is_enough() {
    assert_eq!(config(&with("")).process.attribution.exposures, None);
    let text = "attribution: { exposures: { key: a-key-of-some-length } }";
    let config = config(&with(text));
    assert!(!format!("{config:?}").contains("a-key-of-some-length"));
    let expected = ExposuresConfig {
        users: UserForm::Hash,
        key: Some(Secret::new("a-key-of-some-length")),
        anonymous: false,
        control: Control::Matched,
        properties: Vec::new(),
    };
    assert_eq!(config.process.attribution.exposures, Some(expected));
}

#[test]
fn all_of_it_is_read() {
    let text = "identity: { properties: { region: { header: x-region } } }\n\
        attribution: { exposures: { users: plain, anonymous: true, control: none, properties: [region, region] } }";
    let exposures = config(&with(text)).process.attribution.exposures.unwrap();
    assert_eq!((exposures.users, exposures.key), (UserForm::Plain, None));
    assert_eq!(
        (exposures.anonymous, exposures.control),
        (true, Control::None)
    );
    let names = exposures.properties.iter().map(|name| &**name);
    assert_eq!(names.collect::<Vec<&str>>(), ["region"]);
}

#[test]
fn what_is_wrong_is_told() {
    let text = check_with("attribution: { exposures: { properties: [region] } }");
    assert!(
        text.contains("error: `users: hash` needs a `key`"),
        "{text}"
    );
    assert!(
        text.contains("error: `region` is no property of `identity.properties`"),
        "{text}"
    );
    let text = check_with("attribution: { exposures: { key: short } }");
    assert!(
        text.contains("warning: this key has fewer than 16 characters and can be guessed"),
        "{text}"
    );
    let text = check_with("attribution: { exposures: { users: plan } }");
    assert!(text.contains("plain"), "{text}");
}
