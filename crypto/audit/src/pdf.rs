//! The report as a PDF, to print, to sign and to keep: what the page says, in the same order.
//!
//! Its text is tagged (headings, lists, tables, links), so that it can be read aloud and searched; its
//! fonts are in it. The same report gives the same bytes.
//!
//! ```text
//! font    the two fonts, and how wide a text is
//! flow    texts broken into lines
//! sheets  lines on pages
//! tags    what each text is: the tree of headings, lists and tables
//! file    the bytes
//! ```

mod file;
mod flow;
mod font;
mod sheets;
mod tags;

use pdf_writer::types::StructRole;

use crate::facts::facts;
use crate::report::{Line, Report, RoundReport, Verdict};
use crate::text::{conclusion, shown};
use crate::words::{Answer, Basis, Behind, Place, Said, answers};
use flow::{Ink, Piece};
use font::Fonts;
pub use font::PdfError;
use sheets::{Cell, Sheets, WIDTH};
use tags::Tag;

const TITLE: Ink = Ink { size: 19.0, ..Ink::bold() };
const HEADING: Ink = Ink { size: 13.0, ..Ink::bold() };
const BODY: Ink = Ink::plain();
const STRONG: Ink = Ink::bold();
const SMALL: Ink = Ink { size: 8.5, color: QUIET, ..Ink::plain() };

const QUIET: [u8; 3] = [0x55, 0x60, 0x6f];
const GOOD: [u8; 3] = [0x0b, 0x6b, 0x3a];
const WAIT: [u8; 3] = [0x6b, 0x52, 0x00];
const BAD: [u8; 3] = [0xa3, 0x12, 0x1f];

/// The report as a PDF.
///
/// # Errors
/// [`PdfError`] where the fonts in this program cannot be read.
pub fn pdf(report: &Report) -> Result<Vec<u8>, PdfError> {
    let fonts = Fonts::load()?;
    let mut sheets = Sheets::new(&fonts);
    let document = sheets.tags.root();
    let name = format!("Audit of study {}", shown(&report.study.name));
    write_head(report, &name, document, &mut sheets);
    for answer in answers(report) {
        write_answer(&answer, document, &mut sheets);
    }
    heading("The checks", document, &mut sheets);
    write_lines(Place::Study, &report.lines, document, &mut sheets);
    for round in &report.rounds {
        write_round(round, document, &mut sheets);
    }
    Ok(file::write(sheets, &name, &report.program))
}

fn write_head(report: &Report, name: &str, document: Tag, sheets: &mut Sheets<'_>) {
    let study = &report.study;
    let title = sheets.tags.child(document, StructRole::H1);
    sheets.row(&[Cell::wide(vec![Piece::new(name, TITLE, title)])]);
    sheets.space(6.0);
    let verdict = sheets.tags.child(document, StructRole::P);
    let ink = Ink { size: 11.5, color: color(report.verdict), ..STRONG };
    sheets.row(&[Cell::wide(vec![Piece::new(conclusion(report), ink, verdict)])]);
    sheets.space(4.0);
    let small = sheets.tags.child(document, StructRole::P);
    let words = format!(
        "Study {}. {} sites. Made by {}, offline, from the files of one folder and without a key.",
        study.id,
        study.sites.len(),
        report.program
    );
    sheets.row(&[Cell::wide(vec![Piece::new(words, SMALL, small)])]);
}

fn heading(words: &str, document: Tag, sheets: &mut Sheets<'_>) {
    sheets.space(16.0);
    // Never alone at the foot of a page.
    sheets.keep(70.0);
    let tag = sheets.tags.child(document, StructRole::H2);
    sheets.bookmark(words);
    sheets.row(&[Cell::wide(vec![Piece::new(words, HEADING, tag)])]);
    sheets.rule();
    sheets.space(4.0);
}

fn write_answer(answer: &Answer, document: Tag, sheets: &mut Sheets<'_>) {
    heading(answer.question, document, sheets);
    let list = sheets.tags.child(document, StructRole::L);
    for said in &answer.sentences {
        write_said(said, list, sheets);
    }
}

/// A sentence, and below it what it rests on.
fn write_said(said: &Said, list: Tag, sheets: &mut Sheets<'_>) {
    // Three lines together: most sentences are no longer.
    sheets.keep(42.0);
    let item = sheets.tags.child(list, StructRole::LI);
    let label = sheets.tags.child(item, StructRole::Lbl);
    let body = sheets.tags.child(item, StructRole::LBody);
    let ink = if said.withheld { Ink { color: BAD, ..STRONG } } else { BODY };
    let mark = Cell { x: 0.0, width: 12.0, pieces: vec![Piece::new("•", BODY, label)] };
    // Elements are read in the order in which they are made.
    let words = sheets.tags.child(body, StructRole::Span);
    let mut pieces = vec![Piece::new(format!("{}  ", said.words), ink, words)];
    match &said.basis {
        Basis::Checks(behind) => {
            for behind in behind {
                let tag = sheets.tags.child(body, StructRole::Link);
                pieces.push(link(behind, tag));
            }
        }
        other => pieces.push(Piece::new(other.name(), SMALL, words)),
    }
    sheets.row(&[mark, Cell { x: 12.0, width: WIDTH - 12.0, pieces }]);
    sheets.space(4.0);
}

fn link(behind: &Behind, tag: Tag) -> Piece {
    let ink = Ink { color: color(behind.verdict), ..SMALL };
    let words = format!("{}: {}", behind.check, behind.verdict);
    let to = behind.at.map(|at| anchor(at, behind.check));
    Piece { to, ..Piece::new(words.replace(' ', "\u{a0}") + "  ", ink, tag) }
}

/// What a line of the report is called in links.
fn anchor(at: Place, check: &str) -> String {
    format!("{at}-{check}")
}

fn write_round(round: &RoundReport, document: Tag, sheets: &mut Sheets<'_>) {
    heading(&format!("Round {}", round.round), document, sheets);
    if let Some(summary) = &round.summary {
        let table = sheets.tags.child(document, StructRole::Table);
        for (name, value) in facts(summary) {
            let row = sheets.tags.child(table, StructRole::TR);
            let head = sheets.tags.row_header(row);
            let data = sheets.tags.child(row, StructRole::TD);
            sheets.row(&[
                Cell {
                    x: 0.0,
                    width: 110.0,
                    pieces: vec![Piece::new(name, Ink { size: 9.0, ..SMALL }, head)],
                },
                Cell {
                    x: 115.0,
                    width: WIDTH - 115.0,
                    pieces: vec![Piece::new(value, Ink { size: 9.5, ..BODY }, data)],
                },
            ]);
        }
        sheets.space(8.0);
    }
    write_lines(Place::Round(round.round), &round.lines, document, sheets);
}

/// Every check with its verdict and the reason.
fn write_lines(at: Place, lines: &[Line], document: Tag, sheets: &mut Sheets<'_>) {
    let table = sheets.tags.child(document, StructRole::Table);
    for line in lines {
        let row = sheets.tags.child(table, StructRole::TR);
        let head = sheets.tags.row_header(row);
        let found = sheets.tags.child(row, StructRole::TD);
        let why = sheets.tags.child(row, StructRole::TD);
        let name = line.check.name();
        let ink = |ink: Ink| Ink { size: 9.0, ..ink };
        let verdict = Ink { color: color(line.verdict), ..STRONG };
        sheets.keep(26.0);
        sheets.place(anchor(at, name));
        sheets.row(&[
            Cell { x: 0.0, width: 94.0, pieces: vec![Piece::new(name, ink(STRONG), head)] },
            Cell {
                x: 98.0,
                width: 50.0,
                pieces: vec![Piece::new(line.verdict.name(), ink(verdict), found)],
            },
            Cell {
                x: 150.0,
                width: WIDTH - 150.0,
                pieces: vec![Piece::new(&line.words, ink(BODY), why)],
            },
        ]);
        sheets.rule();
    }
}

fn color(verdict: Verdict) -> [u8; 3] {
    match verdict {
        Verdict::Proven => GOOD,
        Verdict::Pending | Verdict::Gone | Verdict::Missing => WAIT,
        Verdict::False => BAD,
    }
}
