//! What stands in the PDF, read back from its bytes.

use std::collections::BTreeMap;

use miniz_oxide::inflate::decompress_to_vec_zlib;
use ringfence_audit::{Options, Report, answers, pdf};

use crate::honest::report;
use crate::studies::eventful;

/// A text without its white space: lines are broken elsewhere on a page.
pub(crate) fn squeezed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

/// All text of the PDF, in the order in which it is drawn, without white space.
pub(crate) fn printed(report: &Report) -> String {
    let streams = streams(&pdf(report).unwrap());
    let maps: Vec<BTreeMap<u16, char>> = streams
        .iter()
        .filter(|bytes| bytes.windows(9).any(|window| window == b"begincmap"))
        .map(|bytes| letters(bytes))
        .collect();
    assert_eq!(maps.len(), 2, "a regular and a bold font");
    let pages = streams.iter().filter(|bytes| bytes.starts_with(b"/"));
    squeezed(&pages.map(|page| drawn(page, &maps)).collect::<String>())
}

/// All streams that can be inflated.
fn streams(pdf: &[u8]) -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    let mut rest = pdf;
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|at| at == what);
    while let Some(start) = find(rest, b"\nstream\n") {
        rest = &rest[start + 8..];
        let end = find(rest, b"\nendstream").unwrap();
        streams.extend(decompress_to_vec_zlib(&rest[..end]).ok());
        rest = &rest[end..];
    }
    streams
}

/// The letter of each glyph, by the map for whoever copies text out of the PDF.
fn letters(map: &[u8]) -> BTreeMap<u16, char> {
    let map = String::from_utf8_lossy(map);
    let pairs = map.lines().filter_map(|line| {
        let (glyph, letter) = line.strip_prefix('<')?.strip_suffix('>')?.split_once("> <")?;
        let number = |hex| u16::from_str_radix(hex, 16).ok();
        Some((number(glyph)?, char::from_u32(number(letter)?.into())?))
    });
    pairs.collect()
}

fn drawn(page: &[u8], maps: &[BTreeMap<u16, char>]) -> String {
    let (mut text, mut map, mut at) = (String::new(), &maps[0], 0);
    while at < page.len() {
        match page[at] {
            b'F' if page[at..].starts_with(b"F0 ") => map = &maps[0],
            b'F' if page[at..].starts_with(b"F1 ") => map = &maps[1],
            b'(' | b'<' if !page[at..].starts_with(b"<<") => {
                let (bytes, length) = string(&page[at..]);
                let glyphs = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                text.extend(glyphs.map(|glyph| map[&glyph]));
                at += length;
                continue;
            }
            b'<' => at += 1,
            _ => {}
        }
        at += 1;
    }
    text
}

/// A string of PDF, in hexadecimal or in letters with escapes, and the bytes that it takes.
fn string(from: &[u8]) -> (Vec<u8>, usize) {
    if from[0] == b'<' {
        let end = from.iter().position(|byte| *byte == b'>').unwrap();
        let hex = std::str::from_utf8(&from[1..end]).unwrap();
        let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16));
        return (bytes.map(Result::unwrap).collect(), end + 1);
    }
    let (mut bytes, mut at, mut depth) = (Vec::new(), 1, 1);
    loop {
        let byte = from[at];
        at += 1;
        match byte {
            b'\\' => {
                let escaped = from[at];
                at += 1;
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    b'0'..=b'7' => {
                        let octal = std::str::from_utf8(&from[at - 1..at + 2]).unwrap();
                        at += 2;
                        u8::from_str_radix(octal, 8).unwrap()
                    }
                    other => other,
                });
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (bytes, at);
        }
        bytes.push(byte);
    }
}

#[test]
fn the_pdf_says_what_the_page_says() {
    let report = report(&eventful(), &Options::default());
    let text = printed(&report);
    for answer in answers(&report) {
        assert!(text.contains(&squeezed(answer.question)), "{}", answer.question);
        for said in answer.sentences {
            assert!(text.contains(&squeezed(&said.words)), "{}: {text}", said.words);
        }
    }
    for (_, line) in report.all() {
        assert!(text.contains(&squeezed(&line.words)), "{}", line.words);
    }
    for fact in ["Named in a dispute site-5", "Did not contribute site-6", "Round 4"] {
        assert!(text.contains(&squeezed(fact)), "{fact}: {text}");
    }
    let bytes = pdf(&report).unwrap();
    assert_eq!(bytes, pdf(&report).unwrap());
    let says = |what: &[u8]| bytes.windows(what.len()).any(|at| at == what);
    // Tagged, in a language, with links that lead somewhere.
    for what in [&b"/Marked true"[..], b"/Lang (en)", b"/S /GoTo", b"/StructTreeRoot"] {
        assert!(says(what), "{}", String::from_utf8_lossy(what));
    }
    let count = |what: &[u8]| bytes.windows(what.len()).filter(|at| *at == what).count();
    assert_eq!(count(b"/Subtype /Link"), count(b"/S /GoTo"));
}

/// Whatever the study is called: nothing is dropped, and nothing ends the program.
#[test]
fn any_name_is_printed() {
    let mut report = report(&eventful(), &Options::default());
    for (name, shown) in [
        ("Lunge (Österreich) \\ Žižkov, Αθήνα, Москва", "Lunge(Österreich)\\Žižkov,Αθήνα,Москва"),
        ("肺 study", "<U+80BA>study"),
        ("bell\u{7} and\nline", "bell\u{fffd}and\u{fffd}line"),
        (&"m".repeat(200), &"m".repeat(200)),
        ("", "Auditofstudy"),
    ] {
        report.study.name = name.to_owned();
        let text = printed(&report);
        assert!(text.contains(&format!("Auditofstudy{shown}")) || name.is_empty(), "{text}");
    }
}
