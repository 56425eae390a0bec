//! The two fonts of the PDF: which letters they have, how wide a text is, and how they are embedded.

use std::collections::BTreeMap;

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Filter, Finish as _, Name, Pdf, Rect, Ref, Str};
use ttf_parser::{Face, GlyphId};

const REGULAR: &[u8] = include_bytes!("fonts/NotoSans-Regular.ttf");
const BOLD: &[u8] = include_bytes!("fonts/NotoSans-Bold.ttf");

/// Stands for what a stranger's text must not do to a page.
const REPLACEMENT: char = '\u{fffd}';

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The program's own fonts are damaged.
    #[error("the font {0} in this program cannot be read: {1}; build it again")]
    Font(&'static str, String),
}

/// Both fonts.
pub(super) struct Fonts {
    regular: Font,
    bold: Font,
}

impl Fonts {
    pub(super) fn load() -> Result<Self, PdfError> {
        Ok(Self {
            regular: Font::parse("NotoSans-Regular", REGULAR)?,
            bold: Font::parse("NotoSans-Bold", BOLD)?,
        })
    }

    pub(super) fn get(&self, bold: bool) -> &Font {
        if bold { &self.bold } else { &self.regular }
    }
}

/// One font.
pub(super) struct Font {
    name: &'static str,
    data: &'static [u8],
    /// The glyph of each letter.
    glyphs: BTreeMap<char, u16>,
    /// By glyph, in thousandths of the size.
    widths: Vec<f32>,
    /// Of the whole font, in thousandths of the size: left, bottom, right, top.
    bounds: [f32; 4],
    ascent: f32,
    descent: f32,
    cap_height: f32,
}

impl Font {
    fn parse(name: &'static str, data: &'static [u8]) -> Result<Self, PdfError> {
        let face = Face::parse(data, 0).map_err(|error| PdfError::Font(name, error.to_string()))?;
        let per_mille = |units: f32| units * 1000.0 / f32::from(face.units_per_em());
        let width =
            |glyph| per_mille(face.glyph_hor_advance(GlyphId(glyph)).unwrap_or_default().into());
        let mut glyphs = BTreeMap::new();
        let tables = face.tables().cmap.into_iter().flat_map(|cmap| cmap.subtables);
        for table in tables.filter(ttf_parser::cmap::Subtable::is_unicode) {
            table.codepoints(|point| {
                if let (Some(letter), Some(glyph)) =
                    (char::from_u32(point), table.glyph_index(point))
                {
                    glyphs.insert(letter, glyph.0);
                }
            });
        }
        let bounds = face.global_bounding_box();
        Ok(Self {
            name,
            data,
            glyphs,
            widths: (0..face.number_of_glyphs()).map(width).collect(),
            bounds: [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max]
                .map(|units| per_mille(units.into())),
            ascent: per_mille(face.ascender().into()),
            descent: per_mille(face.descender().into()),
            cap_height: per_mille(face.capital_height().unwrap_or(face.ascender()).into()),
        })
    }

    /// A text in letters that the font has: others are written as their numbers, so that nothing is
    /// dropped.
    pub(super) fn printable(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                letter if letter.is_control() => out.push(REPLACEMENT),
                letter if self.glyphs.contains_key(&letter) => out.push(letter),
                other => out += &format!("<U+{:04X}>", u32::from(other)),
            }
        }
        out
    }

    /// How wide a printable text is at a size, in points.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let widths = text.chars().map(|letter| {
            let glyph = usize::from(self.glyph(letter));
            self.widths.get(glyph).copied().unwrap_or_default()
        });
        widths.sum::<f32>() * size / 1000.0
    }

    /// A printable text as the bytes that show it.
    pub(super) fn encode(&self, text: &str) -> Vec<u8> {
        text.chars().flat_map(|letter| self.glyph(letter).to_be_bytes()).collect()
    }

    fn glyph(&self, letter: char) -> u16 {
        self.glyphs.get(&letter).copied().unwrap_or_default()
    }

    /// Writes the font under a reference, and what belongs to it under fresh ones.
    pub(super) fn write(&self, id: Ref, mut fresh: impl FnMut() -> Ref, pdf: &mut Pdf) {
        let (cid, descriptor, file, to_unicode) = (fresh(), fresh(), fresh(), fresh());
        let name = Name(self.name.as_bytes());
        let info =
            SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
        pdf.type0_font(id)
            .base_font(name)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(cid)
            .to_unicode(to_unicode);
        let mut font = pdf.cid_font(cid);
        font.subtype(CidFontType::Type2)
            .base_font(name)
            .system_info(info)
            .font_descriptor(descriptor)
            .default_width(0.0)
            .cid_to_gid_map_predefined(Name(b"Identity"));
        font.widths().consecutive(0, self.widths.iter().copied());
        font.finish();
        let [left, bottom, right, top] = self.bounds;
        pdf.font_descriptor(descriptor)
            .name(name)
            .flags(FontFlags::NON_SYMBOLIC)
            .bbox(Rect::new(left, bottom, right, top))
            .italic_angle(0.0)
            .ascent(self.ascent)
            .descent(self.descent)
            .cap_height(self.cap_height)
            .stem_v(80.0)
            .font_file2(file);
        let data = compress_to_vec_zlib(self.data, 9);
        let mut stream = pdf.stream(file, &data);
        stream.filter(Filter::FlateDecode);
        stream.pair(Name(b"Length1"), i32::try_from(self.data.len()).unwrap_or(i32::MAX));
        stream.finish();
        let info = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"UCS"), supplement: 0 };
        let mut map = UnicodeCmap::new(Name(b"Custom"), info);
        let mut letters: BTreeMap<u16, char> = BTreeMap::new();
        for (letter, glyph) in &self.glyphs {
            letters.entry(*glyph).or_insert(*letter);
        }
        letters.into_iter().for_each(|(glyph, letter)| map.pair(glyph, letter));
        let map = compress_to_vec_zlib(&map.finish(), 9);
        pdf.cmap(to_unicode, &map).filter(Filter::FlateDecode);
    }
}
