//! Makes small files: pictures by `image`, NIfTI and DICOM byte by byte.

mod dicom;
mod palette;

use std::io::Write as _;

use image::{DynamicImage, ImageFormat};

pub(crate) use dicom::*;
pub(crate) use palette::{Palette, chunk};

pub(crate) fn picture(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A grey TIFF of one strip, little-endian, with one more entry: its tag, type, number of values, and
/// the big-endian bytes of these. `tags` are SHORT, in their order.
pub(crate) fn tiff(
    tags: &[(u16, u16)],
    (tag, kind, count, value): (u16, u16, u32, [u8; 4]),
    rows: u16,
    strip: &[u8],
) -> Vec<u8> {
    let short =
        |tag: u16, value: u16| (tag, 3_u16, 1_u32, [value.ordered(false), vec![0; 2]].concat());
    let little = match (kind, count) {
        (4, 1) => u32::from_be_bytes(value).ordered(false),
        (3, _) => value.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect(),
        _ => value.to_vec(),
    };
    let mut entries: Vec<_> = tags.iter().map(|(tag, value)| short(*tag, *value)).collect();
    let place = 8 + 2 + (entries.len() + 4) * 12 + 4;
    entries.extend([short(273, place as u16), short(278, rows), short(279, strip.len() as u16)]);
    entries.push((tag, kind, count, little));
    entries.sort_by_key(|(tag, ..)| *tag);
    let mut bytes = [b"II\x2a\0\x08\0\0\0", &(entries.len() as u16).ordered(false)[..]].concat();
    for (tag, kind, count, value) in entries {
        bytes.extend([tag.ordered(false), kind.ordered(false), count.ordered(false)].concat());
        bytes.extend(value);
    }
    bytes.extend([0; 4]);
    bytes.extend(strip);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A number in a byte order.
pub(crate) trait Ordered {
    fn ordered(self, big: bool) -> Vec<u8>;
}

macro_rules! ordered {
    ($($number:ty)*) => {$(
        impl Ordered for $number {
            fn ordered(self, big: bool) -> Vec<u8> {
                if big { self.to_be_bytes().to_vec() } else { self.to_le_bytes().to_vec() }
            }
        }
    )*};
}
ordered!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

/// A NIfTI file.
pub(crate) struct Nifti {
    pub(crate) second: bool,
    pub(crate) big: bool,
    pub(crate) dims: Vec<u16>,
    /// Code and bits.
    pub(crate) datatype: (i16, i16),
    pub(crate) rescale: (f32, f32),
    pub(crate) display: (f32, f32),
    /// `sform` rows; none without.
    pub(crate) rows: Option<[[f32; 3]; 3]>,
    /// The last column of `sform`.
    pub(crate) offset: [f32; 3],
    pub(crate) voxels: Vec<u8>,
}

impl Nifti {
    /// `nx * ny * nz` voxels of a type, valued by their storage index.
    pub(crate) fn counting<T: Ordered>(
        dims: &[u16],
        datatype: (i16, i16),
        big: bool,
        number: impl Fn(usize) -> T,
    ) -> Self {
        let count: usize = dims.iter().map(|side| usize::from(*side)).product();
        let voxels = (0..count).flat_map(|index| number(index).ordered(big)).collect();
        let dims = dims.to_vec();
        let (rescale, display) = ((0.0, 0.0), (0.0, 0.0));
        Self {
            second: false,
            big,
            dims,
            datatype,
            rescale,
            display,
            rows: None,
            offset: [0.0; 3],
            voxels,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = vec![0; if self.second { 544 } else { 352 }];
        let big = self.big;
        let mut put =
            |at: usize, bytes: Vec<u8>| header[at..at + bytes.len()].copy_from_slice(&bytes);
        let rank = self.dims.len() as u16;
        let rows = self.rows.iter().flatten();
        if self.second {
            put(0, 540_i32.ordered(big));
            put(4, b"n+2\0\r\n\x1a\n".to_vec());
            put(12, self.datatype.0.ordered(big));
            put(14, self.datatype.1.ordered(big));
            put(16, i64::from(rank).ordered(big));
            for (axis, side) in self.dims.iter().enumerate() {
                put(24 + 8 * axis, i64::from(*side).ordered(big));
            }
            put(168, 544_i64.ordered(big));
            put(176, f64::from(self.rescale.0).ordered(big));
            put(184, f64::from(self.rescale.1).ordered(big));
            put(192, f64::from(self.display.1).ordered(big));
            put(200, f64::from(self.display.0).ordered(big));
            for (index, row) in rows.enumerate() {
                put(348, 1_i32.ordered(big));
                for (axis, value) in row.iter().enumerate() {
                    put(400 + 32 * index + 8 * axis, f64::from(*value).ordered(big));
                }
                put(424 + 32 * index, f64::from(self.offset[index]).ordered(big));
            }
        } else {
            put(0, 348_i32.ordered(big));
            put(344, b"n+1\0".to_vec());
            put(40, rank.ordered(big));
            for (axis, side) in self.dims.iter().enumerate() {
                put(42 + 2 * axis, side.ordered(big));
            }
            put(70, self.datatype.0.ordered(big));
            put(72, self.datatype.1.ordered(big));
            put(108, 352_f32.ordered(big));
            put(112, self.rescale.0.ordered(big));
            put(116, self.rescale.1.ordered(big));
            put(124, self.display.1.ordered(big));
            put(128, self.display.0.ordered(big));
            for (index, row) in rows.enumerate() {
                put(254, 1_i16.ordered(big));
                for (axis, value) in row.iter().enumerate() {
                    put(280 + 16 * index + 4 * axis, value.ordered(big));
                }
                put(292 + 16 * index, self.offset[index].ordered(big));
            }
        }
        header.extend(&self.voxels);
        header
    }
}
