//! Which writes only renew leases. There may be many of them, none changes what requests are answered, and so they
//! wait for one another before a large file is written.

use serde_json::Value;

use super::kind::Kind;
use super::table::{Table, Write};

/// The members of a registration that a renewal changes.
const RENEWED: [&str; 2] = ["expires_at_unix_ms", "renewed_at_unix_ms"];

/// Whether that is all that `writes` do to a table of that kind.
pub(super) fn is_renewal(kind: Kind, table: &Table, writes: &[Write]) -> bool {
    let renews = |write: &Write| match write {
        Write::Put { key, value, .. } => {
            let before = table.records.get(key);
            before.is_some_and(|before| is_renewed(before, value))
        }
        // It says which revision the record has.
        Write::NoteMember { .. } => true,
        Write::Remove { .. } | Write::Note { .. } => false,
    };
    kind == Kind::Registrations && writes.iter().all(renews)
}

fn is_renewed(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return false;
    };
    let stays = |(name, _): &(&String, &Value)| !RENEWED.contains(&name.as_str());
    before.iter().filter(stays).eq(after.iter().filter(stays))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::is_renewal;
    use crate::state::kind::Kind;
    use crate::state::table::{Expected, Table, Write};

    fn put(key: &str, value: Value) -> Write {
        Write::Put {
            key: key.to_owned(),
            value,
            expected: Expected::Any,
        }
    }

    #[test]
    fn only_what_changes_nothing_but_the_time_of_leases_is_a_renewal() {
        let lease = |url: &str, at: u64| json!({ "url": url, "renewed_at_unix_ms": at, "expires_at_unix_ms": at + 9 });
        let mut table = Table::default();
        table.records.insert("a/b".to_owned(), lease("one", 1));
        let renewed = || put("a/b", lease("one", 2));
        let revision = Write::NoteMember {
            name: "revisions".to_owned(),
            member: "a/b".to_owned(),
            value: Some(json!(7)),
        };
        let is = |kind, writes: &[Write]| is_renewal(kind, &table, writes);
        assert!(is(Kind::Registrations, &[renewed(), revision]));
        assert!(!is(Kind::Kills, &[renewed()]));
        let mut ended = lease("one", 2);
        ended["ended_at_unix_ms"] = json!(2);
        let removed = Write::Remove {
            key: "a/b".to_owned(),
            expected: Expected::Any,
        };
        for other in [
            put("a/b", lease("two", 2)),
            put("a/b", ended),
            put("a/b", json!(1)),
            put("a/c", lease("one", 2)),
            removed,
        ] {
            assert!(
                !is(Kind::Registrations, &[renewed(), other.clone()]),
                "{other:?}"
            );
        }
    }
}
