//! Characters that look like others, as word processors and web pages put them into copied text.

use super::diagnostic::Span;
use super::node::{Node, Value};
use super::problems::Problems;

/// Warns of blanks that are no spaces and of quotes that quote nothing, in keys and in texts without quotes of YAML's own.
pub fn check(node: &Node, problems: &mut Problems) {
    match &node.value {
        Value::Scalar(scalar) if !scalar.is_quoted() && !scalar.is_filled() => {
            look_at(scalar.text(), node.span, problems);
        }
        Value::Scalar(_) => {}
        Value::List(items) => {
            for item in items {
                check(item, problems);
            }
        }
        Value::Map(pairs) => {
            for pair in pairs {
                look_at(&pair.key, pair.key_span, problems);
                check(&pair.value, problems);
            }
        }
    }
}

fn look_at(text: &str, span: Span, problems: &mut Problems) {
    if text.is_ascii() {
        return;
    }
    if let Some(blank) = text.chars().find_map(name_of_blank) {
        problems
            .warning(span, format!("there is {blank} in this text"))
            .hint("type a space in its place, or nothing");
    }
    let is_curly = |letter: char| matches!(letter, '“' | '”' | '„' | '‘' | '’' | '«' | '»');
    if text.starts_with(is_curly) {
        problems
            .warning(span, "these quotes are a part of the text")
            .hint("YAML's quotes are straight: \" or '");
    }
}

/// The name, for people, of a blank that is not a space.
fn name_of_blank(letter: char) -> Option<&'static str> {
    match letter {
        '\u{a0}' | '\u{202f}' | '\u{2007}' => Some("a no-break space"),
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => Some("an invisible character"),
        '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}' => Some("a blank that is no space"),
        _ => None,
    }
}
