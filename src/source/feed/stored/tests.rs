use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{ReadError, StoredCopy, StoredSet, encode, path, write};
use crate::context::Moment;
use crate::durable::tests::names;
use crate::engine::source::{SourceKind, SourceSet};

const KIND: SourceKind = SourceKind::Unleash;

fn stored(revision: u64) -> StoredSet {
    let answer = format!(
        r#"{{"features":[{{"name":"search.ü","enabled":true,"strategies":[]}}],"segments":[],"meta":{{"revisionId":{revision}}}}}"#
    );
    StoredSet {
        source: "unleash".into(),
        url: "http://127.0.0.1:4242/api".into(),
        confirmed: Moment { unix_ms: 12_345 },
        set: Arc::new(SourceSet::parse(KIND, answer.as_bytes()).expect("an answer")),
    }
}

/// What is stored, or what is wrong where nothing can be had.
fn read(folder: &Path, source: &str) -> Result<Option<StoredSet>, ReadError> {
    match super::read(folder, source, KIND) {
        StoredCopy {
            set: None,
            error: Some(error),
            ..
        } => Err(error),
        found => Ok(found.set.map(|set| StoredSet::clone(&set))),
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("a/b");
    assert_eq!(read(&state, "unleash").expect("nothing"), None);
    for revision in [1, 2] {
        write(&state, &stored(revision)).expect("it is written");
        assert_eq!(
            read(&state, "unleash").expect("something"),
            Some(stored(revision))
        );
    }
    assert_eq!(
        names(&state),
        ["flags-unleash.snapshot", "flags-unleash.snapshot.older"]
    );
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&state.join("flags-unleash.snapshot")), 0o600);
    assert_eq!(mode(&state), 0o700);
}

#[test]
fn any_byte_that_is_another_makes_it_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = encode(&stored(7)).into_bytes();
    let file = path(folder.path(), "unleash");
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&file, &bytes).expect("a file");
            let found = read(folder.path(), "unleash");
            assert!(
                matches!(found, Err(ReadError::Damaged { .. })),
                "byte {at} ^ {flip}"
            );
            assert_eq!(names(folder.path()), ["flags-unleash.snapshot.damaged"]);
        }
    }
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).expect("a file");
        let found = read(folder.path(), "unleash");
        assert!(
            matches!(found, Err(ReadError::Damaged { .. })),
            "cut at {length}"
        );
    }
    fs::write(&file, &whole).expect("a file");
    assert_eq!(
        read(folder.path(), "unleash").expect("whole"),
        Some(stored(7))
    );
}

#[test]
fn another_sources_file_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &stored(7)).expect("it is written");
    fs::rename(path(folder.path(), "unleash"), path(folder.path(), "eu")).expect("renamed");
    assert!(matches!(
        read(folder.path(), "eu"),
        Err(ReadError::Damaged { .. })
    ));
}

#[test]
fn what_cannot_be_written_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &stored(1)).expect("it is written");
    let temporary = path(folder.path(), "unleash").with_extension("snapshot.tmp");
    // Somebody's folder is in the way, which nobody may delete.
    fs::create_dir_all(temporary.join("x")).expect("a folder");
    assert!(write(folder.path(), &stored(2)).is_err());
    assert_eq!(
        read(folder.path(), "unleash").expect("something"),
        Some(stored(1))
    );
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(write(&file, &stored(1)).is_err());
}

#[test]
fn the_copy_before_stands_in_for_one_that_is_damaged_or_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = path(folder.path(), "unleash");
    for revision in [1, 2] {
        write(folder.path(), &stored(revision)).expect("it is written");
    }
    let text = fs::read(&file).expect("a file");
    for damage in [&text[..text.len() / 2], b""] {
        fs::write(&file, damage).expect("a file");
        let found = super::read(folder.path(), "unleash", KIND);
        assert_eq!(found.set.as_deref(), Some(&stored(1)));
        assert!(
            matches!(found.error, Some(ReadError::Damaged { .. })),
            "{:?}",
            found.error
        );
    }
    // The damaged one is out of the way now.
    let found = super::read(folder.path(), "unleash", KIND);
    assert_eq!(found.set.as_deref(), Some(&stored(1)));
    assert!(found.error.is_none(), "{:?}", found.error);
    // What is damaged already is never kept in place of what is whole.
    write(folder.path(), &stored(3)).expect("it is written");
    assert_eq!(
        read(folder.path(), "unleash").expect("whole"),
        Some(stored(3))
    );
    fs::remove_file(&file).expect("a file");
    assert_eq!(
        read(folder.path(), "unleash").expect("older"),
        Some(stored(1))
    );
    fs::write(super::older(&file), "no flags").expect("a file");
    assert!(matches!(
        read(folder.path(), "unleash"),
        Err(ReadError::Damaged { .. })
    ));
}
