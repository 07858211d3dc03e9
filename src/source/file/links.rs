//! The way that a path takes through symbolic links.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many as Linux follows.
const MAX_LINKS: usize = 40;

/// Every link on the way and the file at its end, each as its real directory joined with its own name: a change of
/// any of them may change what the path leads to. What does not exist ends the way, and is part of it.
pub(super) fn way(path: &Path) -> Vec<PathBuf> {
    let mut way = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(path);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&name);
        match std::fs::read_link(&here) {
            Ok(target) if way.len() < MAX_LINKS => {
                way.push(here);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    rest.push_front(name);
                }
            }
            // No link, or nothing there.
            _ => {
                if rest.is_empty() || !here.exists() {
                    way.push(here);
                    break;
                }
                at = here;
            }
        }
    }
    way
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::way;

    #[test]
    fn every_link_is_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("..v1")).unwrap();
        std::fs::write(root.join("..v1/routes.yaml"), "").unwrap();
        symlink("..v1", root.join("..data")).unwrap();
        symlink("..data/routes.yaml", root.join("routes.yaml")).unwrap();
        symlink(&root, root.join("here")).unwrap();
        assert_eq!(
            way(&root.join("here/routes.yaml")),
            [
                root.join("here"),
                root.join("routes.yaml"),
                root.join("..data"),
                root.join("..v1/routes.yaml"),
            ]
        );
    }

    #[test]
    fn what_is_missing_ends_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        symlink("gone/routes.yaml", root.join("routes.yaml")).unwrap();
        let expected = [root.join("routes.yaml"), root.join("gone")];
        assert_eq!(way(&root.join("routes.yaml")), expected);
    }

    #[test]
    fn a_circle_ends() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert!(way(&root.join("a")).len() <= 41);
    }
}
