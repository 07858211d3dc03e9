//! Fits what the live view shows into a terminal of any size: sentences are wrapped, and where there are too few rows the
//! least important lines go first. The last line, which says what the keys do, always stays.

/// How important a line is. The least important ones go first where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// An empty line, for the eye.
    Gap,
    /// Something to try in another terminal.
    Hint,
    /// What has happened; the oldest first.
    News,
    /// Figures, and what is wrong with the file.
    Figures,
}

/// One line of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) rank: Rank,
    /// Whether it is a row of a table, which is cut at the screen's edge; anything else is wrapped.
    pub(super) is_row: bool,
}

impl Line {
    /// A sentence of this rank.
    pub(super) fn new(rank: Rank, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            rank,
            is_row: false,
        }
    }

    /// A row of a table.
    pub(super) fn row(text: impl Into<String>) -> Self {
        Self {
            is_row: true,
            ..Self::new(Rank::Figures, text)
        }
    }

    /// An empty line.
    pub(super) fn gap() -> Self {
        Self::new(Rank::Gap, "")
    }
}

/// The lines as they stand on a screen with so many rows and columns.
pub(super) fn fit(lines: &[Line], rows: usize, columns: usize) -> Vec<String> {
    let mut shown: Vec<(Rank, Vec<String>)> = lines
        .iter()
        .map(|line| match line.is_row {
            true => (line.rank, vec![line.text.clone()]),
            false => (line.rank, wrap(&line.text, columns)),
        })
        .collect();
    let height = |shown: &[(Rank, Vec<String>)]| -> usize {
        shown.iter().map(|(_, lines)| lines.len()).sum()
    };
    while height(&shown) > rows {
        let lowest = shown.iter().map(|(rank, _)| *rank).min();
        let lowest = lowest.filter(|rank| *rank < Rank::Figures);
        let Some(at) = shown.iter().position(|(rank, _)| Some(*rank) == lowest) else {
            break;
        };
        shown.remove(at);
    }
    let mut fitting: Vec<String> = shown.into_iter().flat_map(|(_, lines)| lines).collect();
    if fitting.len() > rows
        && let Some(keys) = fitting.pop()
    {
        fitting.truncate(rows.saturating_sub(1));
        fitting.push(keys);
    }
    fitting
}

/// Breaks a line between words. What follows the first part is indented. Escape sequences take no room.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    const INDENT: &str = "       ";
    if width(text) <= columns {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut is_bare = true;
    for word in text.split_inclusive(' ') {
        if !is_bare && width(&line) + width(word.trim_end()) > columns {
            lines.push(line.trim_end().to_owned());
            line = INDENT.to_owned();
            is_bare = true;
        }
        // Spaces that stand before the first word of a line belong to it.
        is_bare &= word == " ";
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// How many columns a text takes.
fn width(text: &str) -> usize {
    let (mut width, mut in_escape) = (0, false);
    for c in text.chars() {
        match c {
            '\x1b' => in_escape = true,
            _ if in_escape => in_escape = !c.is_ascii_alphabetic(),
            _ => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::{Line, Rank, fit, width, wrap};

    #[test]
    fn the_least_important_lines_go_first_and_the_keys_stay() {
        let lines = [
            Line::new(Rank::Figures, "title"),
            Line::gap(),
            Line::new(Rank::Hint, "try this"),
            Line::new(Rank::Hint, "try that"),
            Line::row("row"),
            Line::new(Rank::News, "old"),
            Line::new(Rank::News, "new"),
            Line::gap(),
            Line::new(Rank::Figures, "keys"),
        ];
        let shown = |rows| fit(&lines, rows, 80).join("|");
        assert_eq!(
            shown(9),
            "title||try this|try that|row|old|new||keys",
            "all of it"
        );
        assert_eq!(shown(7), "title|try this|try that|row|old|new|keys");
        assert_eq!(shown(5), "title|row|old|new|keys");
        assert_eq!(shown(4), "title|row|new|keys");
        assert_eq!(shown(2), "title|keys");
        assert_eq!(shown(1), "keys");
    }

    #[test]
    fn sentences_wrap_between_words_and_rows_are_cut() {
        assert_eq!(
            wrap("one two three four", 13),
            ["one two three", "       four"]
        );
        assert_eq!(wrap(" 42 s  it happened", 80), [" 42 s  it happened"]);
        let painted = "\x1b[2m 42 s\x1b[0m  it happened here";
        assert_eq!(width(painted), 23);
        assert_eq!(
            wrap(painted, 18),
            ["\x1b[2m 42 s\x1b[0m  it happened", "       here"]
        );
        // A word that is longer than the line is not cut: it could not be copied.
        assert_eq!(
            wrap("see http://127.0.0.1:1", 10),
            ["see", "       http://127.0.0.1:1"]
        );
        let row = "a table's row that is wide";
        assert_eq!(fit(&[Line::row(row)], 4, 10), [row]);
    }
}
