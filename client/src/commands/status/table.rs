//! A table that fits a number of columns: long names are shortened, and columns that do not fit go
//! on in further blocks.

use std::collections::BTreeSet;

/// One column: its heading, and a cell for each row. Texts are of ASCII letters.
pub(super) struct Column {
    pub(super) heading: String,
    pub(super) cells: Vec<String>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(String::len);
        cells.chain([self.heading.len()]).max().unwrap_or(0)
    }

    fn cell(&self, row: Option<usize>) -> &str {
        match row {
            None => &self.heading,
            Some(row) => self.cells.get(row).map_or("", String::as_str),
        }
    }
}

/// The columns in blocks of at most so many characters a line, the first of them in each; an empty
/// line between two blocks.
pub(super) fn blocks(first: &Column, others: &[Column], columns: usize) -> String {
    let mut blocks: Vec<Vec<&Column>> = Vec::new();
    let mut used = columns;
    for column in others {
        let width = GAP.len() + column.width();
        match blocks.last_mut() {
            Some(block) if used + width <= columns => {
                used += width;
                block.push(column);
            }
            _ => {
                used = first.width() + width;
                blocks.push(vec![first, column]);
            }
        }
    }
    blocks.iter().map(|block| lines(block, first.cells.len())).collect::<Vec<_>>().join("\n")
}

fn lines(block: &[&Column], rows: usize) -> String {
    let line = |row: Option<usize>| {
        let cells = block.iter().map(|column| format!("{:1$}", column.cell(row), column.width()));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    };
    std::iter::once(None).chain((0..rows).map(Some)).map(line).collect()
}

/// What stands for the letters that are cut.
const CUT: &str = "..";

/// Names of at most so many characters, cut in the middle where that keeps them apart, else further to
/// one side; of more characters where no cut does.
pub(in crate::commands) fn shortened(names: &[&str], most: usize) -> Vec<String> {
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for length in most..longest {
        let kept = length.saturating_sub(CUT.len());
        let mut tails: Vec<usize> = (1..kept).collect();
        tails.sort_by_key(|tail| tail.abs_diff(kept / 2));
        for tail in tails {
            let short: Vec<String> =
                names.iter().map(|name| shorten(name, kept - tail, tail)).collect();
            if short.iter().collect::<BTreeSet<_>>().len() == short.len() {
                return short;
            }
        }
    }
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A name's first and last characters, where that is shorter than the name.
fn shorten(name: &str, head: usize, tail: usize) -> String {
    let count = name.chars().count();
    if count <= head + CUT.len() + tail {
        return name.to_owned();
    }
    let start: String = name.chars().take(head).collect();
    start + CUT + &name.chars().skip(count - tail).collect::<String>()
}

/// A text in lines of at most so many characters, cut at spaces; all but the first are indented. A
/// word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    const INDENT: &str = "  ";
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > columns {
            lines = lines + "\n" + INDENT;
            used = INDENT.len();
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines += word;
        used += length;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_in_the_middle_and_stay_apart() {
        // In the middle both would be st-mar..ology: one letter more of the end parts them.
        let names = ["st-mary-of-the-lake-radiology", "st-mary-of-the-lake-pathology", "b"];
        assert_eq!(shortened(&names, 13), ["st-ma..iology", "st-ma..hology", "b"]);
        // What parts these lies near the end, and further in than 13 letters reach.
        let clinics = ["regional-clinic-no-07-radiology", "regional-clinic-no-08-radiology"];
        assert_eq!(shortened(&clinics, 13), ["r..7-radiology", "r..8-radiology"]);
        assert_eq!(shortened(&["a", "bcd"], 13), ["a", "bcd"]);
        assert_eq!(shortened(&["hospital-of-the-north"], 13), ["hospit..north"]);
    }

    #[test]
    fn blocks_never_leave_the_columns_and_lose_nothing() {
        let column =
            |heading: &str| Column { heading: heading.into(), cells: vec!["creoa".into()] };
        let first = Column { heading: "round".into(), cells: vec!["0".into()] };
        let names: Vec<String> = (0..20).map(|site| format!("site-{site:08}")).collect();
        let others: Vec<Column> = names.iter().map(|name| column(name)).collect();
        for columns in [40, 80, 120] {
            let text = blocks(&first, &others, columns);
            assert!(text.lines().all(|line| line.len() <= columns), "{text}");
            assert!(names.iter().all(|name| text.contains(name.as_str())), "{text}");
            assert_eq!(text.matches("creoa").count(), 20, "{text}");
            assert_eq!(text.matches("round").count(), text.split("\n\n").count(), "{text}");
        }
    }

    #[test]
    fn text_is_cut_at_spaces() {
        assert_eq!(wrapped("one two three", 9), "one two\n  three\n");
        assert_eq!(wrapped("longer-than-nine b", 9), "longer-than-nine\n  b\n");
        assert_eq!(wrapped("", 9), "\n");
    }
}
