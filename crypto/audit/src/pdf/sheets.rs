//! Lines on pages of A4.

use std::collections::BTreeMap;

use pdf_writer::{Content, Name, Rect, Str};

use super::flow::{Fragment, Ink, Piece, lines};
use super::font::Fonts;
use super::tags::{Tag, Tags};

/// A page, in points.
pub(super) const PAGE: [f32; 2] = [595.0, 842.0];
const LEFT: f32 = 56.0;
const TOP: f32 = 786.0;
const BOTTOM: f32 = 64.0;
/// From margin to margin.
pub(super) const WIDTH: f32 = PAGE[0] - 2.0 * LEFT;
/// From line to line, in sizes.
const LEADING: f32 = 1.4;

/// Texts side by side in a row.
pub(super) struct Cell {
    /// From the left margin.
    pub(super) x: f32,
    pub(super) width: f32,
    pub(super) pieces: Vec<Piece>,
}

impl Cell {
    /// From margin to margin.
    pub(super) fn wide(pieces: Vec<Piece>) -> Self {
        Self { x: 0.0, width: WIDTH, pieces }
    }
}

/// A place on a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) sheet: usize,
    /// From below.
    pub(super) y: f32,
}

/// What may be clicked.
pub(super) struct Link {
    pub(super) sheet: usize,
    pub(super) rect: Rect,
    pub(super) to: String,
    /// What it says.
    pub(super) words: String,
    pub(super) tag: Tag,
}

/// A page.
pub(super) struct Sheet {
    pub(super) content: Content,
    /// What each of its texts belongs to.
    pub(super) texts: Vec<Tag>,
}

/// All pages.
pub(super) struct Sheets<'a> {
    pub(super) fonts: &'a Fonts,
    pub(super) tags: Tags,
    pub(super) sheets: Vec<Sheet>,
    pub(super) links: Vec<Link>,
    /// Where links lead.
    pub(super) places: BTreeMap<String, Spot>,
    pub(super) bookmarks: Vec<(String, Spot)>,
    /// How far down the last page is full.
    y: f32,
}

impl<'a> Sheets<'a> {
    pub(super) fn new(fonts: &'a Fonts) -> Self {
        let mut sheets = Self {
            fonts,
            tags: Tags::new(),
            sheets: Vec::new(),
            links: Vec::new(),
            places: BTreeMap::new(),
            bookmarks: Vec::new(),
            y: TOP,
        };
        sheets.turn();
        sheets
    }

    /// Some room.
    pub(super) fn space(&mut self, points: f32) {
        self.y -= points;
    }

    /// Goes on on the next page if there is less room than this.
    pub(super) fn keep(&mut self, points: f32) {
        if self.y - points < BOTTOM {
            self.turn();
        }
    }

    /// Names the place where the next row will stand.
    pub(super) fn place(&mut self, name: String) {
        let spot = self.spot();
        self.places.entry(name).or_insert(spot);
    }

    /// An entry of the table of contents that leads to the next row.
    pub(super) fn bookmark(&mut self, words: &str) {
        let spot = self.spot();
        self.bookmarks.push((words.to_owned(), spot));
    }

    /// Cells side by side, each as many lines as it takes; over pages, where they do not fit on one.
    pub(super) fn row(&mut self, cells: &[Cell]) {
        let broken: Vec<(f32, Vec<Vec<Fragment>>)> = cells
            .iter()
            .map(|cell| (cell.x, lines(&cell.pieces, cell.width, self.fonts)))
            .collect();
        let sizes = cells.iter().flat_map(|cell| &cell.pieces).map(|piece| piece.ink.size);
        let step = sizes.fold(0.0, f32::max) * LEADING;
        let count = broken.iter().map(|(_, lines)| lines.len()).max().unwrap_or_default();
        for line in 0..count {
            self.keep(step);
            self.y -= step;
            for (x, lines) in &broken {
                for fragment in lines.get(line).into_iter().flatten() {
                    self.show(LEFT + x, fragment);
                }
            }
        }
    }

    /// A thin line across the page.
    pub(super) fn rule(&mut self) {
        self.y -= 4.0;
        let y = self.y;
        let Some(sheet) = self.sheets.last_mut() else { return };
        sheet.content.begin_marked_content(Name(b"Artifact"));
        sheet.content.set_fill_rgb(0.79, 0.82, 0.86);
        sheet.content.rect(LEFT, y, WIDTH, 0.5).fill_nonzero();
        sheet.content.end_marked_content();
    }

    /// The last lines of every page, which are no part of what is read.
    pub(super) fn feet(&mut self, words: &str, ink: Ink) {
        let count = self.sheets.len();
        let font = self.fonts.get(ink.bold);
        // As much of it as leaves room for the numbers.
        let mut words = font.printable(words);
        while font.width(&words, ink.size) > WIDTH - 80.0 {
            words.pop();
        }
        for (number, sheet) in self.sheets.iter_mut().enumerate() {
            let page = format!("{} / {count}", number + 1);
            let right = LEFT + WIDTH - font.width(&page, ink.size);
            sheet.content.begin_marked_content(Name(b"Artifact"));
            for (x, text) in [(LEFT, words.as_str()), (right, page.as_str())] {
                write_text(&mut sheet.content, (x, 36.0), ink, &font.encode(text));
            }
            sheet.content.end_marked_content();
        }
    }

    fn spot(&self) -> Spot {
        Spot { sheet: self.sheets.len() - 1, y: self.y }
    }

    fn turn(&mut self) {
        self.sheets.push(Sheet { content: Content::new(), texts: Vec::new() });
        self.y = TOP;
    }

    fn show(&mut self, left: f32, fragment: &Fragment) {
        let Fragment { x, width, piece } = fragment;
        let number = self.sheets.len() - 1;
        let Some(sheet) = self.sheets.last_mut() else { return };
        let text = i32::try_from(sheet.texts.len()).unwrap_or(i32::MAX);
        sheet.texts.push(piece.tag);
        self.tags.text(piece.tag, number, text);
        let bytes = self.fonts.get(piece.ink.bold).encode(&piece.text);
        let role = self.tags.role(piece.tag).to_name();
        let mut mark = sheet.content.begin_marked_content_with_properties(role);
        mark.properties().identify(text);
        drop(mark);
        write_text(&mut sheet.content, (left + x, self.y), piece.ink, &bytes);
        sheet.content.end_marked_content();
        if let Some(to) = &piece.to {
            self.tags.link(piece.tag, self.links.len());
            let (low, high) = (self.y - piece.ink.size * 0.3, self.y + piece.ink.size);
            self.links.push(Link {
                sheet: number,
                rect: Rect::new(left + x, low, left + x + width, high),
                to: to.clone(),
                words: piece.text.clone(),
                tag: piece.tag,
            });
        }
    }
}

/// The name of a font on a page.
pub(super) fn font_name(bold: bool) -> Name<'static> {
    if bold { Name(b"F1") } else { Name(b"F0") }
}

fn write_text(content: &mut Content, (x, y): (f32, f32), ink: Ink, bytes: &[u8]) {
    let [red, green, blue] = ink.color.map(|part| f32::from(part) / 255.0);
    content.begin_text();
    content.set_fill_rgb(red, green, blue);
    content.set_font(font_name(ink.bold), ink.size);
    content.next_line(x, y);
    content.show(Str(bytes));
    content.end_text();
}
