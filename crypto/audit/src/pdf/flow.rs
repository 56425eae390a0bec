//! Texts broken into lines.

use super::font::Fonts;
use super::tags::Tag;

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ink {
    pub(super) bold: bool,
    /// In points.
    pub(super) size: f32,
    pub(super) color: [u8; 3],
}

impl Ink {
    pub(super) const fn plain() -> Self {
        Self { bold: false, size: 10.0, color: [0x1c, 0x24, 0x30] }
    }

    pub(super) const fn bold() -> Self {
        Self { bold: true, ..Self::plain() }
    }
}

/// A text that looks and means one thing.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) ink: Ink,
    pub(super) tag: Tag,
    /// Where a click on it leads.
    pub(super) to: Option<String>,
}

impl Piece {
    pub(super) fn new(text: impl Into<String>, ink: Ink, tag: Tag) -> Self {
        Self { text: text.into(), ink, tag, to: None }
    }
}

/// A part of a line, at so many points from where the line begins.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub(super) x: f32,
    pub(super) width: f32,
    pub(super) piece: Piece,
}

/// Breaks pieces that follow one another into lines of a width: between words, and within a word that
/// is longer than a line.
pub(super) fn lines(pieces: &[Piece], width: f32, fonts: &Fonts) -> Vec<Vec<Fragment>> {
    let mut lines = Lines { fonts, width, x: 0.0, lines: vec![Vec::new()] };
    for piece in pieces {
        let text = fonts.get(piece.ink.bold).printable(&piece.text);
        // A piece begins a fragment of its own.
        let mut fresh = true;
        for word in text.split_inclusive(' ') {
            lines.word(word, piece, &mut fresh);
        }
    }
    lines.lines
}

struct Lines<'a> {
    fonts: &'a Fonts,
    width: f32,
    /// Where the last line ends.
    x: f32,
    lines: Vec<Vec<Fragment>>,
}

impl Lines<'_> {
    fn word(&mut self, word: &str, piece: &Piece, fresh: &mut bool) {
        let font = self.fonts.get(piece.ink.bold);
        let needed = font.width(word.trim_end_matches(' '), piece.ink.size);
        if self.x > 0.0 && self.x + needed > self.width {
            self.end(fresh);
        }
        if self.x == 0.0 && word.trim_end_matches(' ').is_empty() {
            return;
        }
        if needed <= self.width {
            return self.put(word, piece, fresh);
        }
        for letter in word.chars() {
            let letter = letter.to_string();
            if self.x + font.width(&letter, piece.ink.size) > self.width {
                self.end(fresh);
            }
            self.put(&letter, piece, fresh);
        }
    }

    fn end(&mut self, fresh: &mut bool) {
        self.lines.push(Vec::new());
        self.x = 0.0;
        *fresh = true;
    }

    fn put(&mut self, text: &str, piece: &Piece, fresh: &mut bool) {
        let width = self.fonts.get(piece.ink.bold).width(text, piece.ink.size);
        let Some(line) = self.lines.last_mut() else { return };
        match line.last_mut().filter(|_| !*fresh) {
            Some(last) => {
                last.piece.text += text;
                last.width += width;
            }
            None => line.push(Fragment {
                x: self.x,
                width,
                piece: Piece { text: text.to_owned(), ..piece.clone() },
            }),
        }
        *fresh = false;
        self.x += width;
    }
}
