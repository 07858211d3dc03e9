//! Hints for YAML's own errors: those say where the parser failed, not what the author meant.

use super::Marker;

/// Signs that a plain text cannot begin with, because they mean something there.
const SIGNS: [char; 8] = ['*', '&', '!', '|', '>', '%', '@', '`'];

/// A hint for an error of the parser, found by its `message`; `text` is the file.
pub(super) fn advice(message: &str, marker: &Marker, text: &str) -> Option<String> {
    let line = text
        .lines()
        .nth(marker.line().saturating_sub(1))
        .unwrap_or_default();
    let here: String = line.chars().skip(marker.col()).collect();
    let advice = if message.contains("tab") {
        "YAML is indented with spaces"
    } else if message.contains("unknown anchor") || message.contains("unexpected character") {
        return Some(in_quotes(&here));
    } else if message.contains("mapping values are not allowed") {
        return Some(quoted_value(line));
    } else if message.contains("unclosed quote") {
        "the quote that begins here has no end"
    } else if message.contains("trailing content") {
        "quotes stand around the whole text; within it they are `\\\"` in double quotes, `''` in single ones"
    } else if message.contains("escape") {
        "in double quotes `\\` begins an escape: write `\\\\`, or use single quotes"
    } else if message.contains("block scalar") {
        "after `|` or `>` the text begins in the next line; a text that begins so stands in quotes"
    } else if let Some((bracket, opened)) = unclosed(text, marker)
        && (message.contains("flow") || message.contains("illegal placement"))
    {
        let closing = if bracket == '{' { '}' } else { ']' };
        return Some(format!(
            "the `{bracket}` in line {opened} may lack its `{closing}`"
        ));
    } else if message.contains("bracket") || message.contains("flow") {
        "every `{` needs its `}`, every `[` its `]`, with commas between; a text with `: `, `[` or `{` in it stands in quotes"
    } else if message.contains("illegal placement") {
        "an earlier `[`, `{` or quote may have no end, or a text with `: ` in it no quotes"
    } else if message.contains("block mapping") || message.contains("simple key") {
        "a key is followed by `:` and a space, and keys of one map begin in one column"
    } else {
        return None;
    };
    Some(advice.to_owned())
}

/// The innermost bracket that is open at a place and was opened in an earlier line, and that line.
fn unclosed(text: &str, marker: &Marker) -> Option<(char, usize)> {
    let mut open = Vec::new();
    for (line, number) in text.lines().zip(1..marker.line()) {
        let (mut quote, mut before) = (None, ' ');
        for letter in line.chars() {
            let begins = matches!(before, ' ' | '[' | '{' | ',' | ':');
            match (quote, letter) {
                (Some(end), _) if end == letter && before != '\\' => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if begins => quote = Some(letter),
                (None, '#') if before == ' ' => break,
                // Within a plain text they are letters, unless a map or list is open already.
                (None, '{' | '[') if begins => open.push((letter, number)),
                (None, '}' | ']') => drop(open.pop()),
                _ => {}
            }
            before = letter;
        }
    }
    open.pop()
}

/// Of a text that begins with a sign that means something.
fn in_quotes(here: &str) -> String {
    let end = here.find([' ', ',', ']', '}']).unwrap_or(here.len());
    match here.chars().next() {
        Some(sign) if SIGNS.contains(&sign) => {
            format!(
                "a text that begins with `{sign}` stands in quotes: \"{}\"",
                &here[..end]
            )
        }
        _ => "put the text in quotes".to_owned(),
    }
}

/// Of a value with `: ` in it.
fn quoted_value(line: &str) -> String {
    let pair = line.trim_start_matches([' ', '-']).trim_end();
    match pair.split_once(": ") {
        Some((key, value)) if value.contains(": ") && !value.contains('"') => {
            format!(
                "a text with `: ` in it stands in quotes: `{key}: \"{}\"`",
                value.trim()
            )
        }
        _ => "a text with `: ` in it stands in quotes; a map begins in the line after its key"
            .to_owned(),
    }
}
