//! Why a flag gave the variant that it gave.

use std::fmt;

use crate::engine::evaluation::VariantSelection;
use crate::engine::{VariantIndex, Variants};

/// Writes how a variant was chosen, in one line.
pub(super) fn write_selection(
    f: &mut fmt::Formatter<'_>,
    variants: &Variants,
    selection: VariantSelection<'_>,
) -> fmt::Result {
    let name = |variant: VariantIndex| {
        let variant = variants.get(variant);
        variant.map_or("", |variant| &*variant.name)
    };
    match selection {
        VariantSelection::Override(variant) => {
            writeln!(
                f,
                "  variant {:?}: an override names the user",
                name(variant)
            )
        }
        VariantSelection::Only(variant) => {
            writeln!(f, "  variant {:?}: the only one", name(variant))
        }
        VariantSelection::Bucketed { id, value, variant } => {
            let bucketing = variants.bucketing();
            let value = bucketing.value_in_words(value, variants.total_weight());
            let name = name(variant);
            match id {
                Some(id) => writeln!(f, "  variant {name:?}: {id:?} {bucketing} {value}"),
                None => writeln!(
                    f,
                    "  variant {name:?}: there is no ID to choose by, and without one a user {value}"
                ),
            }
        }
        VariantSelection::NoId => {
            writeln!(f, "  no variant: there is no ID to choose by, so stable")
        }
    }
}
