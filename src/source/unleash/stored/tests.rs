use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{ReadError, Stored, TEMPORARY, encode, path, read, write};
use crate::context::Moment;
use crate::engine::unleash::FeatureSet;

fn stored(revision: u64) -> Stored {
    let answer = format!(
        r#"{{"features":[{{"name":"search.ü","enabled":true,"strategies":[]}}],"segments":[],"meta":{{"revisionId":{revision}}}}}"#
    );
    Stored {
        source: "unleash".into(),
        url: "http://127.0.0.1:4242/api".into(),
        confirmed: Moment { unix_ms: 12_345 },
        set: Arc::new(FeatureSet::parse(answer.as_bytes()).expect("an answer")),
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    names
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
    assert_eq!(files(&state), ["flags-unleash.snapshot"]);
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
fn any_octet_that_is_another_makes_it_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = encode(&stored(7));
    let file = path(folder.path(), "unleash");
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut octets = whole.clone();
            octets[at] ^= flip;
            fs::write(&file, &octets).expect("a file");
            let found = read(folder.path(), "unleash");
            assert!(
                matches!(found, Err(ReadError::Damaged { .. })),
                "octet {at} ^ {flip}"
            );
            assert_eq!(files(folder.path()), ["flags-unleash.snapshot.damaged"]);
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
    let temporary = path(folder.path(), "unleash").with_extension(TEMPORARY);
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
