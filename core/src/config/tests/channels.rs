//! `identity.channels`.

use std::time::Duration;

use super::{check_with, config, with};
use crate::identity::Place;

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_channel_is_a_property_behind_the_others() {
    let text = format!(
        "
client_api: {{ path: /.serin }}
identity:
  properties: {{ plan: {{ header: x-plan }} }}
  channels: {{ key: {KEY}, names: [preview, beta-2] }}
flags: {{ a.v2: {{ url: 'http://b', rings: [{{ name: volunteers, when: {{ channel: preview }} }}] }} }}
"
    );
    let config = config(&with(&text));
    let rules = config.identity.channels.as_deref().expect("rules");
    assert_eq!(rules.cookie, "serin_channel".into());
    assert_eq!(rules.max_age, Duration::from_secs(365 * 86_400));
    assert!(rules.has("beta-2") && !rules.has("beta"));
    let names: Vec<&str> = config.identity.own_cookies().collect();
    assert_eq!(names, ["serin_channel"]);
    let last = config.identity.properties.last().expect("a property");
    assert_eq!(&*last.name, "channel");
    assert!(matches!(&last.source.place, Place::Channel(own) if **own == *rules));
    assert_eq!(config.identity.properties.len(), 2);
}

#[test]
fn channels_without_a_client_api_are_odd() {
    let told = check_with(&format!(
        "identity: {{ channels: {{ key: {KEY}, names: [preview] }} }}\n"
    ));
    let expected = "warning: nobody can choose a channel: there is no `client_api`";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn what_is_wrong_with_channels_is_told() {
    insta::assert_snapshot!(check_with("
identity:
  anonymous: sticky
  properties: { channel: { header: x-channel } }
  channels: { key: swordfish, names: ['a b', x], cookie: serin_id }
"), @r"
error: `channel` is the property of `identity.channels`
 --> routes.yaml:7:3
  |
7 |   channels: { key: swordfish, names: ['a b', x], cookie: serin_id }
  |   ^^^^^^^^
  = hint: give the other one under `identity.properties` another name

error: this key has fewer than 32 characters and can be guessed
 --> routes.yaml:7:20
  |
7 |   channels: { key: swordfish, names: ['a b', x], cookie: serin_id }
  |                    ^^^^^^^^^
  = hint: `openssl rand -hex 32` makes one; put it into a variable

error: `a b` is not a channel's name
 --> routes.yaml:7:39
  |
7 |   channels: { key: swordfish, names: ['a b', x], cookie: serin_id }
  |                                       ^^^^^
  = hint: letters, digits, - and _, at most 64 of them

error: `serin_id` is another cookie of Serin's own
 --> routes.yaml:7:58
  |
7 |   channels: { key: swordfish, names: ['a b', x], cookie: serin_id }
  |                                                          ^^^^^^^^
  = hint: give channels another one

routes.yaml: 4 errors
");
    insta::assert_snapshot!(check_with("
client_api: { path: /.serin }
identity: { channels: { key: 0123456789abcdef0123456789abcdef, names: [] } }
flags: { a.v2: { url: 'http://b', rings: [{ name: volunteers, when: { chanel: preview } }] } }
"), @r"
error: there is no channel to choose
 --> routes.yaml:5:71
  |
5 | identity: { channels: { key: 0123456789abcdef0123456789abcdef, names: [] } }
  |                                                                       ^^
  = hint: as in `names: [preview]`

error: there is no field `chanel`
 --> routes.yaml:6:71
  |
6 | flags: { a.v2: { url: 'http://b', rings: [{ name: volunteers, when: { chanel: preview } }] } }
  |                                                                       ^^^^^^
  = hint: did you mean `channel`?

routes.yaml: 2 errors
");
}
