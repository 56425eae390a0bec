//! Makes PNG and GIF files with a palette, interlaced or not.

use std::borrow::Cow;
use std::io::Write as _;

use png::{BitDepth, ColorType};

/// A picture of indices.
#[derive(Clone)]
pub(crate) struct Palette {
    pub(crate) width: usize,
    /// Row-major.
    pub(crate) indices: Vec<u8>,
    pub(crate) colours: Vec<[u8; 3]>,
    /// Of the first indices; those of the others are 255.
    pub(crate) alphas: Vec<u8>,
}

/// The passes of Adam7: the first column and row, and the steps (PNG, third edition, 8.1).
const PASSES: [[usize; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

impl Palette {
    fn height(&self) -> usize {
        self.indices.len() / self.width
    }

    /// A PNG with indices of 1, 2, 4 or 8 bits.
    pub(crate) fn png(&self, bits: u8) -> Vec<u8> {
        let (mut bytes, size) = (Vec::new(), (self.width as u32, self.height() as u32));
        let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::from_u8(bits).unwrap());
        encoder.set_palette(self.colours.concat());
        if !self.alphas.is_empty() {
            encoder.set_trns(self.alphas.clone());
        }
        let rows = self.indices.chunks(self.width).flat_map(|row| packed(row, bits));
        let rows: Vec<u8> = rows.collect();
        encoder.write_header().unwrap().write_image_data(&rows).unwrap();
        bytes
    }

    /// The same, interlaced: the encoder does not do that.
    pub(crate) fn interlaced_png(&self, bits: u8) -> Vec<u8> {
        let mut rows = Vec::new();
        for [left, top, across, down] in PASSES {
            for row in self.indices.chunks(self.width).skip(top).step_by(down) {
                let row: Vec<u8> = row.iter().skip(left).step_by(across).copied().collect();
                if !row.is_empty() {
                    // Not filtered.
                    rows.push(0);
                    rows.extend(packed(&row, bits));
                }
            }
        }
        let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        deflated.write_all(&rows).unwrap();
        let [width, height] = [self.width, self.height()].map(|side| (side as u32).to_be_bytes());
        let header = [&width[..], &height, &[bits, 3, 0, 0, 1]].concat();
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        bytes.extend(chunk(b"IHDR", &header));
        bytes.extend(chunk(b"PLTE", &self.colours.concat()));
        if !self.alphas.is_empty() {
            bytes.extend(chunk(b"tRNS", &self.alphas));
        }
        bytes.extend(chunk(b"IDAT", &deflated.finish().unwrap()));
        bytes.extend(chunk(b"IEND", &[]));
        bytes
    }

    /// A GIF, whose index `transparent` is, on a canvas that has so many columns more.
    pub(crate) fn gif(&self, interlaced: bool, transparent: Option<u8>, margin: u16) -> Vec<u8> {
        let mut rows: Vec<&[u8]> = self.indices.chunks(self.width).collect();
        if interlaced {
            // GIF89a, appendix E.
            let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
            let order = passes.iter().flat_map(|(top, step)| rows.iter().skip(*top).step_by(*step));
            rows = order.copied().collect();
        }
        let (width, height) = (self.width as u16, self.height() as u16);
        let buffer = Cow::Owned(rows.concat());
        let frame =
            gif::Frame { width, height, buffer, interlaced, transparent, ..Default::default() };
        let (mut bytes, palette) = (Vec::new(), self.colours.concat());
        let mut encoder = gif::Encoder::new(&mut bytes, width + margin, height, &palette).unwrap();
        encoder.write_frame(&frame).unwrap();
        drop(encoder);
        bytes
    }
}

/// The first index in the highest bits.
fn packed(row: &[u8], bits: u8) -> Vec<u8> {
    let byte = |indices: &[u8]| {
        let places = (0..8 / bits).rev().map(|place| place * bits);
        indices.iter().zip(places).fold(0, |byte, (index, place)| byte | index << place)
    };
    row.chunks(usize::from(8 / bits)).map(byte).collect()
}

/// A chunk of a PNG.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let covered = [kind, data].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&covered);
    [&(data.len() as u32).to_be_bytes()[..], &covered, &sum.sum().to_be_bytes()].concat()
}
