//! What the main header of a JPEG 2000 codestream says (ISO 15444-1, annex A).

/// The facts on which samples depend beyond their decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The first component has a sign.
    pub(super) signed: bool,
    /// Components are of different sizes.
    pub(super) subsampled: bool,
    /// The multiple component transform is used.
    pub(super) transformed: bool,
    /// The codestream stands within the boxes of a JP2 file.
    pub(super) boxed: bool,
}

const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
const CODING_STYLE: u8 = 0x52;
const START_OF_TILE: u8 = 0x90;

impl Header {
    /// Reads the image size (SIZ) and the coding style (COD); `None` where one is missing.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let start = bytes.windows(4).position(|window| window == START)?;
        let mut at = start + 2;
        let size = segment(bytes, at)?;
        // Three bytes a component: precision and sign, then its steps across and down.
        let components = size.get(36..)?.as_chunks::<3>().0;
        let [precision, ..] = *components.first()?;
        let steps = |component: &[u8; 3]| [component[1], component[2]];
        let subsampled = components.iter().any(|component| steps(component) != [1, 1]);
        loop {
            at += 2 + segment(bytes, at)?.len() + 2;
            match *bytes.get(at..at + 2)? {
                [0xff, CODING_STYLE] => break,
                [0xff, START_OF_TILE] => return None,
                _ => {}
            }
        }
        let transformed = *segment(bytes, at)?.get(4)? == 1;
        Some(Self { signed: precision & 0x80 != 0, subsampled, transformed, boxed: start > 0 })
    }
}

/// What a marker segment holds after its length.
fn segment(bytes: &[u8], marker: usize) -> Option<&[u8]> {
    let length: [u8; 2] = bytes.get(marker + 2..marker + 4)?.try_into().ok()?;
    bytes.get(marker + 4..marker + 2 + usize::from(u16::from_be_bytes(length)))
}
