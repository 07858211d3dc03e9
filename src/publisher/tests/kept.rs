//! Flags that Serin keeps itself on their way into snapshots.

use std::sync::Arc;

use serde_json::{Value, json};

use super::flags::{feature, first_with, say, start, with_servers};
use crate::config::Config;
use crate::config::document::Document;
use crate::config::kept::KeptDocuments;
use crate::context::{Context, Moment};
use crate::decide::decide;
use crate::engine::origin::Origin;
use crate::publisher::PublisherHandle;
use crate::snapshot::Snapshot;
use crate::snapshot::changes::effects::Effects;

fn kept(flags: &[(&str, Value)]) -> Arc<KeptDocuments> {
    let one =
        |(name, json): &(&str, Value)| ((*name).into(), Arc::new(Document::new(json.clone())));
    Arc::new(KeptDocuments {
        flags: flags.iter().map(one).collect(),
        ..KeptDocuments::default()
    })
}

fn opened(rollout: &str) -> Value {
    json!({ "url": "http://127.0.0.1:7", "rings": [{ "name": "all", "rollout": rollout }] })
}

fn assigned(snapshot: &Snapshot) -> String {
    let context = Context {
        user_id: Some("ann".into()),
        ..Context::default()
    };
    let service = &snapshot.services[0];
    let decision = decide(service, &context, Moment { unix_ms: 0 });
    service.deployments.get(decision.assigned).name.to_string()
}

fn flag_origins(publisher: &PublisherHandle) -> Vec<(String, Origin)> {
    let snapshot = publisher.store().load();
    let flags = snapshot.flags.iter();
    flags
        .map(|flag| (flag.name.to_string(), flag.origin.clone()))
        .collect()
}

#[tokio::test]
async fn the_file_comes_first_then_serin_then_flag_servers() {
    let publisher = start(&first_with(&["main"], 1), Vec::new());
    say(
        &publisher,
        "main",
        &[feature("a", 100, 9), feature("b", 100, 9)],
    )
    .await;
    let documents = kept(&[("search.a", opened("100%")), ("search.ab", opened("100%"))]);
    let published = publisher.publish_kept(documents).await.unwrap();
    assert_eq!(published.changes.changed, [Arc::<str>::from("search.a")]);
    let origins = flag_origins(&publisher);
    let of = |name: &str| {
        origins
            .iter()
            .find(|(flag, _)| flag == name)
            .map(|(_, origin)| origin)
    };
    assert_eq!(of("search.a"), Some(&Origin::Serin));
    assert_eq!(of("search.ab"), Some(&Origin::Local));
    assert_eq!(of("search.b"), Some(&Origin::Unleash("main".into())));
    let snapshot = publisher.store().load();
    let warnings = snapshot.warnings.join("\n");
    for expected in [
        "a flag of serin is not used, because routes.yaml comes first and has the same: search.ab",
        "a flag of main is not used, because serin comes first and has the same: search.a",
    ] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    // Without it the server's is there again.
    publisher.publish_kept(kept(&[])).await.unwrap();
    assert_eq!(
        flag_origins(&publisher)[0].1,
        Origin::Unleash("main".into())
    );
}

#[tokio::test]
async fn what_is_kept_has_its_part_in_the_digest_and_what_is_the_same_makes_no_snapshot() {
    let publisher = start(&first_with(&[], 1), Vec::new());
    let alone = publisher.store().load().digest;
    let first = publisher
        .publish_kept(kept(&[("search.a", opened("5%"))]))
        .await
        .unwrap();
    assert!(first.is_new && first.digest != alone);
    let again = publisher
        .publish_kept(kept(&[("search.a", opened("5%"))]))
        .await
        .unwrap();
    assert!(!again.is_new);
    assert_eq!(again.digest, first.digest);
    let gone = publisher.publish_kept(kept(&[])).await.unwrap();
    assert_eq!(gone.digest, alone);
}

#[tokio::test]
async fn a_reload_compiles_them_anew_and_one_that_does_not_compile_is_off_not_lost() {
    let publisher = start(&first_with(&[], 1), Vec::new());
    let documents = kept(&[("search.a", opened("100%")), ("search.b", opened("0%"))]);
    publisher.publish_kept(documents).await.unwrap();
    let before = publisher.store().load();
    assert_eq!(assigned(&before), "search.a");
    let narrow = || {
        let mut config = with_servers(&[], 2);
        config.canary_urls.networks.clear();
        config
    };
    publisher.publish(narrow()).await.unwrap();
    let without = publisher.store().load();
    assert_eq!(assigned(&without), "stable");
    let expected = "flag search.a of serin does not compile any more, so it is off: url: `canary_urls` does not allow";
    assert!(
        without
            .warnings
            .iter()
            .any(|told| told.starts_with(expected)),
        "{:?}",
        without.warnings
    );
    let wide = |content| Config {
        ..with_servers(&[], content)
    };
    publisher.publish(wide(3)).await.unwrap();
    let back = publisher.store().load();
    assert_eq!(assigned(&back), "search.a");
    // A reload that changes nothing for them leaves them the very same.
    publisher.publish(wide(4)).await.unwrap();
    let same = publisher.store().load();
    assert!(Arc::ptr_eq(
        back.flag("search.a").unwrap(),
        same.flag("search.a").unwrap()
    ));
}

#[tokio::test]
async fn a_preview_says_what_would_be_and_changes_nothing() {
    let publisher = start(&first_with(&[], 1), Vec::new());
    let preview = publisher
        .preview_kept(kept(&[("search.a", opened("5%"))]))
        .await
        .unwrap();
    assert_eq!(preview.changes.added, [Arc::<str>::from("search.a")]);
    let effects = Effects::of(&preview.changes, &preview.before, &preview.after);
    assert_eq!(effects.services, [Arc::<str>::from("search")]);
    assert_eq!(
        effects.deployments[0].deployment,
        Arc::<str>::from("search.a")
    );
    let running = publisher.store().load();
    assert_eq!(
        (running.generation, running.flag("search.a").is_none()),
        (1, true)
    );
    let broken = publisher
        .compile_kept(kept(&[("search.a", json!({ "rings": 5 }))]))
        .await
        .unwrap();
    assert_eq!(broken.warnings().len(), 1);
    let published = publisher
        .publish_kept(kept(&[("search.a", opened("5%"))]))
        .await
        .unwrap();
    assert_eq!(published.digest, preview.after.digest);
}
