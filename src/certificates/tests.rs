use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::files::Contents;
use super::{FileTrouble, OwnSecret, Owner, ServerTls, check};
use crate::config::diagnostic::Span;
use crate::config::tls::{CertificateFiles, ClientAuth, ListenerTls, StatedFile, TlsVersion};
use crate::context::Moment;

/// 2026-01-01T00:00:00Z
const NOW: Moment = Moment {
    unix_ms: 1_767_225_600_000,
};

fn stated(path: &Path) -> StatedFile {
    StatedFile {
        path: path.to_owned(),
        span: Span::default(),
        key: "admin.tls".to_owned(),
    }
}

fn write(folder: &Path, names: &[&str], (from, until): (i32, i32)) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.join("own.crt"), certificate.pem()).unwrap();
    fs::write(folder.join("own.key"), key.serialize_pem()).unwrap();
}

fn named(folder: &Path) -> ListenerTls {
    ListenerTls {
        certificates: vec![CertificateFiles {
            cert: stated(&folder.join("own.crt")),
            key: stated(&folder.join("own.key")),
        }],
        client_ca: None,
        client_auth: ClientAuth::Required,
        min_version: TlsVersion::Tls12,
        ticket_key: None,
    }
}

/// A certificate for `localhost` and its key, made in this folder.
pub(crate) fn files(folder: &Path) -> ListenerTls {
    write(folder, &["localhost"], (2020, 2100));
    named(folder)
}

fn open(tls: ListenerTls) -> Arc<ServerTls> {
    ServerTls::open(Owner::Admin, tls, &[], &OwnSecret::random()).unwrap()
}

#[test]
fn a_certificate_is_warned_of_before_its_end() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["A.example"], (2020, 2027));
    let tls = open(named(folder.path()));
    let end = 1_798_761_600_000;
    let at = |days_before: i64| {
        let unix_ms = end - days_before * 24 * 3_600_000;
        tls.warnings(Moment { unix_ms })
    };
    assert_eq!(at(8), Vec::<String>::new());
    let subject = "CN=rcgen self signed cert";
    let told = |verb: &str| {
        vec![format!(
            "the admin API's certificate for {subject} {verb} at 2027-01-01T00:00:00Z"
        )]
    };
    assert_eq!(at(6), told("ends"));
    assert_eq!(at(-1), told("ended"));
    assert_eq!(tls.certificates()[0].names, ["a.example"]);
}

#[test]
fn a_certificate_of_later_comes_into_use_when_its_time_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let tls = open(files(folder.path()));
    write(folder.path(), &["localhost"], (2027, 2100));
    let contents = Contents::read(&tls.terms.tls);
    tls.take(&contents, NOW, true);
    assert_eq!(tls.certificates()[0].from, 1_577_836_800);
    assert!(tls.waits_for_its_time());
    assert!(tls.warnings(NOW)[0].contains("the certificate begins at 2027-01-01T00:00:00Z"));
    let later = Moment {
        unix_ms: NOW.unix_ms + 366 * 24 * 3_600_000,
    };
    tls.take(&contents, later, false);
    assert_eq!(tls.certificates()[0].from, 1_798_761_600);
    assert!(!tls.waits_for_its_time() && tls.warnings(later).is_empty());
}

#[test]
fn a_certificate_that_is_over_or_broken_keeps_no_other_from_being_renewed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path(), &["one.example"], (2020, 2027));
    write(two.path(), &["two.example"], (2020, 2021));
    let mut both = named(one.path());
    both.certificates.extend(named(two.path()).certificates);
    let tls = open(both);
    let from = || {
        tls.certificates()
            .iter()
            .map(|facts| facts.from)
            .collect::<Vec<_>>()
    };
    let take = || tls.take(&Contents::read(&tls.terms.tls), NOW, true);
    let [y2020, y2024] = [1_577_836_800, 1_704_067_200];
    assert_eq!(from(), [y2020, y2020], "both are used, over or not");
    write(one.path(), &["one.example"], (2024, 2100));
    take();
    assert_eq!(from(), [y2024, y2020]);
    assert!(
        tls.trouble.lock().unwrap().is_empty(),
        "what is in force is no trouble"
    );
    fs::write(two.path().join("own.crt"), "garbage").unwrap();
    write(one.path(), &["one.example"], (2025, 2100));
    take();
    assert_eq!(
        from(),
        [1_735_689_600, y2020],
        "the broken one stays as it was"
    );
    let trouble = tls.trouble.lock().unwrap();
    assert!(trouble.len() == 1 && trouble[0].trouble == FileTrouble::Unusable);
}

#[test]
fn what_is_no_pem_file_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let why = |content: &[u8]| {
        fs::write(folder.path().join("own.key"), content).unwrap();
        let problems = check(&files, NOW);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].trouble, FileTrouble::Unusable);
        problems[0].why.clone()
    };
    assert_eq!(why(b""), "it is not a PEM file");
    assert_eq!(why(b"\xff\xfe"), "it is not a PEM file");
    assert!(why(b"-----BEGIN PRIVATE KEY-----\nAAAA\n").starts_with("it is not a PEM file: "));
    assert!(
        why(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
            .starts_with("the key cannot be used: ")
    );
    assert!(
        why(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .contains("is encrypted, which is not supported")
    );
    assert!(why(&vec![b'x'; 2 << 20]).contains("it has more than 1048576 bytes"));
    fs::remove_file(folder.path().join("own.key")).unwrap();
    fs::create_dir(folder.path().join("own.key")).unwrap();
    assert!(
        check(&files, NOW)[0]
            .why
            .contains("it is not a regular file")
    );
}
