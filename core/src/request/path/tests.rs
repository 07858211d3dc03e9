use super::{NormalPath, PathError, PatternError, pattern, sendable};

fn normal(path: &str) -> Result<String, PathError> {
    NormalPath::new(path).map(|normal| normal.as_str().to_owned())
}

fn others(path: &str) -> Vec<String> {
    let normal = NormalPath::new(path).expect("a valid path");
    let others = normal.other_readings().into_iter();
    others.map(|other| other.as_str().to_owned()).collect()
}

#[test]
fn equal_paths_have_one_form() {
    for (sent, expected) in [
        ("/", "/"),
        ("/search", "/search"),
        ("/search/", "/search/"),
        ("//search", "/search"),
        ("/a//b/", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/%73earch", "/search"),
        ("/a/%2e%2e/b", "/b"),
        ("/a%3ab", "/a:b"),
        ("/a%20b", "/a b"),
        ("/caf%c3%A9", "/café"),
        ("/café", "/café"),
        ("/a/.well-known", "/a/.well-known"),
        ("/a/...", "/a/..."),
        ("*", "*"),
    ] {
        assert_eq!(normal(sent).as_deref(), Ok(expected), "{sent}");
        assert!(others(sent).is_empty(), "{sent}");
    }
    assert!(NormalPath::new("/a/b").is_ok_and(|path| path.is_as_sent()));
    assert!(NormalPath::new("/a/./b").is_ok_and(|path| !path.is_as_sent()));
}

#[test]
fn what_could_be_taken_for_something_else_stays_escaped() {
    for (sent, expected) in [
        ("/a%2fb", "/a%2Fb"),
        ("/a%5cb", "/a%5Cb"),
        ("/a\\b", "/a%5Cb"),
        ("/a%0ab%7f", "/a%0Ab%7F"),
        ("/100%25", "/100%25"),
        ("/%252F", "/%252F"),
        ("/%ff%c3%28", "/%FF%C3("),
    ] {
        assert_eq!(normal(sent).as_deref(), Ok(expected), "{sent}");
    }
}

#[test]
fn parameters_of_segments_are_not_matched() {
    for (sent, expected) in [
        ("/admin;a=b", "/admin"),
        ("/admin;a=b/x;c", "/admin/x"),
        ("/x;/../admin", "/admin"),
        ("/a;b/", "/a/"),
        ("/a;%2e%2e/b", "/a/b"),
    ] {
        assert_eq!(normal(sent).as_deref(), Ok(expected), "{sent}");
        assert!(others(sent).is_empty(), "{sent}");
    }
}

#[test]
fn what_servers_read_in_two_ways_has_two_readings() {
    let two: &[(&str, &str, &[&str])] = &[
        ("/group%2Fproject", "/group%2Fproject", &["/group/project"]),
        ("/a%2F..%2Fadmin", "/a%2F..%2Fadmin", &["/admin"]),
        ("/a%5c..%5Cadmin", "/a%5C..%5Cadmin", &["/admin"]),
        ("/a\\..\\admin", "/a%5C..%5Cadmin", &["/admin"]),
        ("/a/..%2Fadmin/x", "/a/..%2Fadmin/x", &["/admin/x"]),
        ("/x/..;/admin", "/x/../admin", &["/admin"]),
        ("/x/%2e%2e;y/admin", "/x/../admin", &["/admin"]),
        ("/admin%3Bx", "/admin;x", &["/admin"]),
        ("/a/;/../b", "/a/b", &["/b", "/a/b"]),
        // Slashes made one before or after dot segments are resolved.
        ("/a//../b", "/b", &["/a/b"]),
        ("/a//b/../..", "/", &["/a/"]),
        ("/a%2F%2F../b", "/a%2F%2F../b", &["/b", "/a/b"]),
        // Decoded once, and not twice.
        ("/%252F", "/%252F", &[]),
    ];
    for (sent, expected, readings) in two {
        assert_eq!(normal(sent).as_deref(), Ok(*expected), "{sent}");
        assert_eq!(others(sent), *readings, "{sent}");
    }
}

#[test]
fn broken_escapes_and_nul_are_refused() {
    for path in ["/a%00", "/a/%00/b", "/a;%00"] {
        assert_eq!(normal(path), Err(PathError::Nul), "{path}");
    }
    for path in ["/%", "/%2", "/%zz", "/a%+1", "/%2é", "/a;%"] {
        assert_eq!(normal(path), Err(PathError::Encoding), "{path}");
    }
    assert_eq!(normal("a/b"), Err(PathError::NotAbsolute));
}

#[test]
fn what_is_behind_a_prefix_is_what_was_sent() {
    for (sent, prefix, rest) in [
        ("/api/x", "/api", "/x"),
        ("/api", "/api", ""),
        ("/api/", "/api", "/"),
        ("/api//x", "/api", "//x"),
        ("/%61pi/%41%2Fb", "/api", "/%41%2Fb"),
        ("/x/../api/./y", "/api", "/./y"),
        ("/api/x/../../api/y", "/api", "/y"),
        ("/api;v=1/x;w", "/api", "/x;w"),
        ("//a//b//c", "/a/b", "//c"),
        ("/caf%C3%A9/%20", "/café", "/%20"),
        ("/x//y", "", "/x//y"),
        ("/../x/%41", "", "/x/%41"),
        ("/a/../../x", "", "/x"),
    ] {
        let path = NormalPath::new(sent).expect("a valid path");
        assert_eq!(path.behind(prefix), rest, "{sent}");
    }
}

#[test]
fn a_new_path_keeps_its_meaning_or_not() {
    let kept = |sent: &str, prefix: &str, replacement: &str| {
        let path = NormalPath::new(sent).expect("a valid path");
        let new = replacement.to_owned() + path.behind(prefix);
        let mut readings = path.other_readings();
        readings.push(path);
        readings
            .iter()
            .all(|reading| reading.is_kept_by(&new, prefix, replacement))
    };
    for (sent, prefix, replacement) in [
        ("/api/x%2Fy", "/api", ""),
        ("/api/x%2Fy/", "/api", "/new"),
        ("/api/x%2F..%2Fy", "/api", "/new"),
        ("/api//x/./y", "/api", "/new/v2"),
        ("/x/../api/y", "/api", ""),
        ("/api%2F", "", "/new"),
        ("/api", "/api", "/a%2Fb"),
    ] {
        assert!(kept(sent, prefix, replacement), "{sent}");
    }
    // Decoded, both go back to the prefix; behind the replacement one would leave it.
    assert!(!kept("/a/x%2F..%2F..%2Fa/y", "/a", "/new"));
    assert!(!kept("/..%2Fx", "", "/new"));
}

#[test]
fn a_pattern_has_the_form_that_requests_are_compared_in() {
    for (text, expected) in [
        ("/café", "/café"),
        ("/caf%C3%A9", "/café"),
        ("/a%20b/", "/a b/"),
        ("/%61", "/a"),
        ("/100%25", "/100%25"),
        ("/", "/"),
    ] {
        assert_eq!(pattern(text).as_deref(), Ok(expected), "{text}");
    }
    for (text, error) in [
        ("/a%2Fb", PatternError::Slash),
        ("/a%5cb", PatternError::Slash),
        ("/a;b", PatternError::Parameters),
        ("/a%3Bb", PatternError::Parameters),
        ("/a/%2e%2e/b", PatternError::Unresolved),
        ("/a//b", PatternError::Unresolved),
        ("/a/./b", PatternError::Unresolved),
        ("/%zz", PatternError::Refused(PathError::Encoding)),
        ("/%00", PatternError::Refused(PathError::Nul)),
    ] {
        assert_eq!(pattern(text), Err(error), "{text}");
    }
}

#[test]
fn what_is_sent_is_encoded() {
    assert_eq!(sendable("/café/<x>").as_deref(), Ok("/caf%C3%A9/%3Cx%3E"));
    assert_eq!(sendable("/a%20b;c=d").as_deref(), Ok("/a%20b;c=d"));
    assert_eq!(sendable("/%4"), Err(PathError::Encoding));
}
