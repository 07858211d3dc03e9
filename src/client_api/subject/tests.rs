use std::sync::Arc;

use serde_json::json;

use super::{ClaimedUser, Subject};
use crate::context::Context;
use crate::context::schema::ContextSchema;

fn vocabulary() -> ContextSchema {
    let configured: [Arc<str>; 1] = ["email".into()];
    let mut vocabulary = ContextSchema::new(&configured);
    vocabulary.field("plan");
    vocabulary
}

fn own(user: Option<&'static str>, session: Option<&'static str>) -> Context<'static> {
    Context {
        user_id: user.map(Into::into),
        session_id: session.map(Into::into),
        remote_address: [192, 0, 2, 1].into(),
        properties: [Some("own@example.com".into())].into_iter().collect(),
    }
}

fn said() -> ClaimedUser {
    let context = json!({
        "userId": "said", "sessionId": "made-up", "remoteAddress": "198.51.100.7", "appName": "shop",
        "properties": { "email": "said@example.com", "plan": "pro", "unheard-of": "x", "list": [] },
    });
    ClaimedUser::from_json(context.as_object().expect("an object"))
}

fn parts<'c>(
    context: &'c Context<'_>,
) -> (
    Option<&'c str>,
    Option<&'c str>,
    String,
    Vec<Option<&'c str>>,
) {
    (
        context.user_id.as_deref(),
        context.session_id.as_deref(),
        context.remote_address.to_string(),
        context.properties.iter().map(Option::as_deref).collect(),
    )
}

#[test]
fn a_request_that_names_its_user_is_taken_as_its_services_would_see_it() {
    let subject = Subject::new(own(Some("u1"), None), said(), &vocabulary());
    assert!(subject.disagrees);
    let alone = vec![Some("own@example.com")];
    assert_eq!(
        parts(&subject.routing),
        (Some("u1"), None, "192.0.2.1".to_owned(), alone)
    );
    let filled = vec![Some("own@example.com"), Some("pro")];
    assert_eq!(
        parts(subject.other()),
        (Some("u1"), Some("made-up"), "192.0.2.1".to_owned(), filled)
    );
}

#[test]
fn a_user_whom_only_the_client_names_is_that_user() {
    let subject = Subject::new(own(None, Some("cookie")), said(), &vocabulary());
    assert!(!subject.disagrees);
    let filled = vec![Some("own@example.com"), Some("pro")];
    let expected = (
        Some("said"),
        Some("cookie"),
        "198.51.100.7".to_owned(),
        filled,
    );
    assert_eq!(parts(&subject.routing), expected);
    assert_eq!(parts(subject.other()), expected);
}

#[test]
fn a_session_that_an_sdk_made_up_routes_nobody() {
    let mut said = said();
    said.user_id = None;
    let subject = Subject::new(own(None, None), said, &vocabulary());
    assert_eq!(parts(&subject.routing).1, None);
    assert_eq!(parts(subject.other()).1, Some("made-up"));
}

#[test]
fn a_query_says_what_json_says() {
    let query = "userId=a%20b&sessionId=s&properties%5Bplan%5D=pro+x&properties[email]=e&x=%FF&environment=e";
    let json = json!({ "targetingKey": "a b", "sessionId": "s", "plan": "pro x", "email": "e" });
    let said = ClaimedUser::from_query(Some(query));
    let other = ClaimedUser::from_json(json.as_object().expect("an object"));
    assert_eq!(said.user_id, other.user_id);
    assert_eq!(said.session_id, other.session_id);
    let mut properties = other.properties;
    properties.sort_by(|a, b| b.cmp(a));
    assert_eq!(said.properties, properties);
    assert_eq!(ClaimedUser::from_query(None), ClaimedUser::default());
}
