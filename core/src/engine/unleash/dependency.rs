//! Flags that depend on others, once all are compiled.

use std::sync::Arc;

use super::document::DependencyDocument;
use crate::engine::flag::{Dependency, Flag, ParentState};

const NO_SUCH_FLAG: &str = "there is no such flag";

/// Unleash's engine follows dependencies one step only, so that there can be no cycles.
const DEPENDS_ITSELF: &str = "that flag depends on another one itself";

/// A dependency whose parent is not looked up yet.
pub(super) fn unlinked(document: &DependencyDocument<'_>) -> Dependency {
    let variants = document.variants.as_deref().unwrap_or_default();
    Dependency {
        name: (*document.feature).into(),
        parent: Err(NO_SUCH_FLAG),
        state: match document.enabled {
            Some(false) => ParentState::Off,
            Some(true) | None => ParentState::On,
        },
        variants: variants.iter().map(|name| (**name).into()).collect(),
    }
}

/// Gives every dependency its current parent. A flag whose parents are the same stays the same. The flags are in the order
/// of their names.
pub(super) fn link(flags: &mut [Arc<Flag>]) {
    for index in 0..flags.len() {
        let Some(parents) = flags.get(index).and_then(|flag| parents(flag, flags)) else {
            continue;
        };
        if let Some(flag) = flags.get_mut(index) {
            let dependencies = Arc::make_mut(flag).dependencies.iter_mut();
            for (dependency, parent) in dependencies.zip(parents) {
                dependency.parent = parent;
            }
        }
    }
}

/// A parent, or why there is none.
type Parent = Result<Arc<Flag>, &'static str>;

/// The parents of a flag; `None`: it has the very same already.
fn parents(flag: &Flag, flags: &[Arc<Flag>]) -> Option<Vec<Parent>> {
    let dependencies = flag.dependencies.iter();
    let parents: Vec<_> = dependencies.map(|one| find(flags, &one.name)).collect();
    let mut pairs = flag.dependencies.iter().zip(&parents);
    let same = pairs.all(|(one, parent)| match (&one.parent, parent) {
        (Ok(known), Ok(parent)) => Arc::ptr_eq(known, parent),
        (Err(known), Err(why)) => known == why,
        _ => false,
    });
    (!same).then_some(parents)
}

fn find(flags: &[Arc<Flag>], name: &str) -> Parent {
    let place = flags.binary_search_by(|flag| (*flag.name).cmp(name));
    let found = place.ok().and_then(|index| flags.get(index));
    match found {
        Some(parent) if parent.dependencies.is_empty() => Ok(parent.clone()),
        Some(_) => Err(DEPENDS_ITSELF),
        None => Err(NO_SUCH_FLAG),
    }
}

/// A warning for each flag that is off because a parent is missing.
pub(super) fn unmet(flags: &[Arc<Flag>]) -> impl Iterator<Item = String> {
    flags.iter().flat_map(|flag| {
        flag.dependencies.iter().filter_map(|dependency| {
            let why = dependency.parent.as_ref().err()?;
            let (name, parent) = (&flag.name, &dependency.name);
            Some(format!(
                "flag {name:?}: it is off, because it depends on {parent:?}, and {why}"
            ))
        })
    })
}
