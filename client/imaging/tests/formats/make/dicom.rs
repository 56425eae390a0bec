//! Makes DICOM files, and the encodings of their pixels.

use std::io::Write as _;

use super::Ordered as _;

/// A DICOM file in the making.
#[derive(Clone)]
pub(crate) struct Dicom {
    uid: &'static str,
    elements: Vec<(u16, u16, &'static [u8; 2], Vec<u8>)>,
    fragments: Option<Vec<Vec<u8>>>,
}

pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(crate) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(crate) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub(crate) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub(crate) const RLE: &str = "1.2.840.10008.1.2.5";
pub(crate) const JPEG: &str = "1.2.840.10008.1.2.4.50";
pub(crate) const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
pub(crate) const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
pub(crate) const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
pub(crate) const JPEG_XL: &str = "1.2.840.10008.1.2.4.110";

impl Dicom {
    /// A picture of `columns * rows`, monochrome, of this many bits.
    pub(crate) fn new(uid: &'static str, columns: u16, rows: u16, bits: (u16, u16)) -> Self {
        let mut file = Self { uid, elements: Vec::new(), fragments: None };
        file.text(0x0008, 0x0060, b"CS", "OT");
        file.word(0x0028, 0x0002, 1).text(0x0028, 0x0004, b"CS", "MONOCHROME2");
        file.word(0x0028, 0x0010, rows).word(0x0028, 0x0011, columns);
        file.word(0x0028, 0x0100, bits.0).word(0x0028, 0x0101, bits.1);
        file.word(0x0028, 0x0102, bits.1 - 1).word(0x0028, 0x0103, 0);
        file
    }

    /// An item of a sequence, without any attribute yet.
    pub(crate) fn item() -> Self {
        Self { uid: EXPLICIT, elements: Vec::new(), fragments: None }
    }

    /// A sequence; only in Explicit VR Little Endian.
    pub(crate) fn sequence(&mut self, group: u16, element: u16, items: &[Self]) -> &mut Self {
        let mut value = Vec::new();
        for item in items {
            let bytes = item.data_set();
            value.extend(b"\xfe\xff\x00\xe0");
            value.extend((bytes.len() as u32).to_le_bytes());
            value.extend(bytes);
        }
        self.put(group, element, b"SQ", value)
    }

    /// Numbers as decimal strings.
    pub(crate) fn decimals(&mut self, group: u16, element: u16, numbers: &[f64]) -> &mut Self {
        let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
        self.text(group, element, b"DS", &texts.join("\\"))
    }

    fn big(&self) -> bool {
        self.uid == BIG_ENDIAN
    }

    pub(crate) fn put(
        &mut self,
        group: u16,
        element: u16,
        vr: &'static [u8; 2],
        value: Vec<u8>,
    ) -> &mut Self {
        self.elements.retain(|(g, e, ..)| (*g, *e) != (group, element));
        self.elements.push((group, element, vr, value));
        self
    }

    /// A second element of a tag that is there already, which no data set may have.
    pub(crate) fn again(
        &mut self,
        group: u16,
        element: u16,
        vr: &'static [u8; 2],
        value: &[u8],
    ) -> &mut Self {
        self.elements.push((group, element, vr, value.to_vec()));
        self
    }

    pub(crate) fn word(&mut self, group: u16, element: u16, value: u16) -> &mut Self {
        let value = value.ordered(self.big());
        self.put(group, element, b"US", value)
    }

    pub(crate) fn text(
        &mut self,
        group: u16,
        element: u16,
        vr: &'static [u8; 2],
        text: &str,
    ) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), b' ');
        self.put(group, element, vr, value)
    }

    pub(crate) fn words(&mut self, values: &[u16]) -> &mut Self {
        let big = self.big();
        self.put(
            0x7fe0,
            0x0010,
            b"OW",
            values.iter().flat_map(|value| value.ordered(big)).collect(),
        )
    }

    pub(crate) fn octets(&mut self, values: &[u8]) -> &mut Self {
        self.put(0x7fe0, 0x0010, b"OB", values.to_vec())
    }

    pub(crate) fn fragments(&mut self, fragments: &[Vec<u8>]) -> &mut Self {
        self.fragments = Some(fragments.to_vec());
        self
    }

    fn data_set(&self) -> Vec<u8> {
        let big = self.big();
        let mut elements = self.elements.clone();
        elements.sort_by_key(|(group, element, ..)| (*group, *element));
        let mut bytes = Vec::new();
        for (group, element, vr, value) in &elements {
            bytes.extend([group.ordered(big), element.ordered(big)].concat());
            if self.uid == IMPLICIT {
                bytes.extend((value.len() as u32).ordered(big));
            } else if matches!(*vr, b"OB" | b"OW" | b"SQ" | b"UN") {
                bytes.extend([&vr[..], &[0, 0], &(value.len() as u32).ordered(big)].concat());
            } else {
                bytes.extend([&vr[..], &(value.len() as u16).ordered(big)].concat());
            }
            bytes.extend(value);
        }
        if let Some(fragments) = &self.fragments {
            bytes.extend(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0");
            for fragment in fragments {
                let length = fragment.len().next_multiple_of(2) as u32;
                bytes.extend([&b"\xfe\xff\0\xe0"[..], &length.to_le_bytes(), fragment].concat());
                bytes.extend(vec![0; length as usize - fragment.len()]);
            }
            bytes.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
        }
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut uid = self.uid.as_bytes().to_vec();
        uid.resize(uid.len().next_multiple_of(2), 0);
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM\x02\0\x10\0UI");
        bytes.extend((uid.len() as u16).to_le_bytes());
        bytes.extend(uid);
        let data_set = self.data_set();
        if self.uid == DEFLATED {
            let fast = flate2::Compression::fast();
            let mut encoder = flate2::write::DeflateEncoder::new(bytes, fast);
            encoder.write_all(&data_set).unwrap();
            return encoder.finish().unwrap();
        }
        bytes.extend(data_set);
        bytes
    }

    /// The data set alone.
    pub(crate) fn bare(&self) -> Vec<u8> {
        self.data_set()
    }
}

/// RLE segments of literal bytes only.
pub(crate) fn rle(planes: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![planes.len() as u32];
    let mut body = Vec::new();
    for plane in planes {
        header.push(64 + body.len() as u32);
        for literal in plane.chunks(128) {
            body.push(literal.len() as u8 - 1);
            body.extend(literal);
        }
    }
    header.resize(16, 0);
    [header.iter().flat_map(|word| word.to_le_bytes()).collect(), body].concat()
}

/// JPEG Lossless, Process 14, selection value 1 (ITU T.81, annex H): each sample is predicted by
/// its left neighbour, and the difference's size is coded in five bits whatever it is.
pub(crate) fn jpeg_lossless(samples: &[u16], width: usize, bits: u8) -> Vec<u8> {
    let height = samples.len() / width;
    let side = |side: usize| (side as u16).to_be_bytes();
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xc3, 0, 11, bits];
    bytes.extend([side(height), side(width)].concat());
    bytes.extend([1, 1, 0x11, 0]);
    bytes.extend([0xff, 0xc4, 0, 2 + 17 + 17, 0, 0, 0, 0, 0, 17]);
    bytes.extend([0; 11]);
    bytes.extend(0..17);
    bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0]);
    let mut coded = Vec::new();
    let mut push = |value: u32, count: u32| {
        coded.extend((0..count).rev().map(|bit| (value >> bit & 1) as u8));
    };
    for (index, sample) in samples.iter().enumerate() {
        let predicted = match (index % width, index / width) {
            (0, 0) => 1 << (bits - 1),
            (0, _) => i32::from(samples[index - width]),
            _ => i32::from(samples[index - 1]),
        };
        let difference = i32::from(*sample) - predicted;
        let size = 32 - difference.unsigned_abs().leading_zeros();
        push(size, 5);
        let extra = if difference < 0 { difference - 1 } else { difference };
        push(extra as u32 & ((1 << size) - 1), size);
    }
    coded.resize(coded.len().next_multiple_of(8), 1);
    for bits in coded.chunks(8) {
        let byte = bits.iter().fold(0, |byte, bit| byte << 1 | bit);
        bytes.push(byte);
        if byte == 0xff {
            bytes.push(0);
        }
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}
