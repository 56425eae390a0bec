//! Looking for canaries in bytes of unknown kind: words of every width, kind, order and alignment;
//! numbers in text; and bytes that stand in text as hexadecimal digits, base64, lists or escapes.

use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::words::{GROUP, from_word, unpack};

use super::canary::{Canaries, Follower, SIGNS};
use super::text;

/// Zeros in a row that are passed over: nothing rises or falls in them.
const ZEROS: usize = 4096;

/// A place where something of an update is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What: an update, or a sum.
    pub canary: String,
    /// How it is encoded.
    pub encoding: String,
    /// Where about it ends, in bytes from the beginning of what was looked at.
    pub at: u64,
    /// The place in the update of the value that was seen last.
    pub value: u32,
}

/// What looks.
#[derive(Debug)]
pub struct Scanner {
    canaries: Canaries,
    packings: Vec<Packing>,
    /// Fields of 64-bit words that packed values would stand in: by how much to round, to shift, to mask.
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    below: u8,
    shift: u8,
    bits: u8,
}

impl Field {
    #[inline(always)]
    fn of(self, word: u64) -> u64 {
        let half = (1u64 << self.below) >> 1;
        (word.wrapping_add(half) >> (self.below + self.shift)) & ((1 << self.bits) - 1)
    }
}

/// Each kind of a canary's occurrence once, the first of it.
#[derive(Debug, Default)]
pub(super) struct Finds(pub(super) Vec<Found>);

impl Finds {
    fn add(&mut self, (canary, value): (&str, u32), encoding: impl FnOnce() -> String, at: usize) {
        let encoding = encoding();
        let known = |found: &Found| found.canary == canary && found.encoding == encoding;
        if !self.0.iter().any(known) {
            self.0.push(Found { canary: canary.to_owned(), encoding, at: at as u64, value });
        }
    }
}

impl Scanner {
    /// Looks for these, also as studies with these packings lay values out before they are masked.
    pub fn new(canaries: Canaries, packings: &[Packing]) -> Self {
        let mut fields = Vec::new();
        for packing in packings {
            let Packing { slot_bits, slots, delta_bits, wire_bits, .. } = *packing;
            // A plaintext coefficient; the same scaled; the same as a word on the wire.
            for below in [0, delta_bits, delta_bits.saturating_sub(64 - wire_bits)] {
                for slot in 0..slots {
                    let shift = slot.saturating_mul(slot_bits);
                    if below.saturating_add(shift) < 64 && slot_bits < 64 {
                        fields.push(Field { below, shift, bits: slot_bits });
                    }
                }
            }
        }
        fields.sort_unstable();
        fields.dedup();
        Self { canaries, packings: packings.to_vec(), fields }
    }

    /// Comparisons of a byte with the canaries, over all kinds of words: what the chance of a false
    /// alarm is counted by.
    pub fn comparisons(&self, bytes: u64) -> f64 {
        // Of hexadecimal digits and the like, what they stand for is looked at, too: twice as much in all.
        2.0 * bytes as f64 * (20 + self.fields.len()) as f64 * self.canaries.places() as f64
    }

    /// Everything that is found in these bytes, each kind of it once.
    pub fn scan(&self, bytes: &[u8]) -> Vec<Found> {
        let mut finds = Finds::default();
        for (start, segment) in segments(bytes) {
            self.raw(segment, start, "", &mut finds);
        }
        text::runs(bytes, |start, run| self.text(run, start, &mut finds));
        finds.0
    }

    /// What is found in a body, or a sum of bodies, of a study with one of the packings, beside what
    /// [`Scanner::scan`] finds: values in its wire words, as if no key had masked them.
    pub fn scan_body(&self, bytes: &[u8]) -> Vec<Found> {
        let mut finds = Finds::default();
        for packing in &self.packings {
            let wire_bits = packing.wire_bits;
            let Some(words) = words_of(bytes, wire_bits) else { continue };
            let mut follow = |name: &str, read: &dyn Fn(u64) -> u64| {
                let mut follower = Follower::new(&self.canaries);
                for (k, word) in words.iter().enumerate() {
                    if let Some(canary) = follower.follow(read(*word)) {
                        let encoding = || format!("{name} of {wire_bits}-bit wire words");
                        finds.add(canary, encoding, k * usize::from(wire_bits) / 8);
                    }
                }
            };
            follow("order", &|word| word);
            for slot in 0..packing.slots {
                let shift = slot.saturating_mul(packing.slot_bits);
                let field = Field { below: packing.delta_bits, shift, bits: packing.slot_bits };
                if field.below.saturating_add(shift) < 64 && field.bits < 64 {
                    follow(&format!("slot {slot}"), &|word| field.of(from_word(word, wire_bits)));
                }
            }
        }
        finds.0
    }

    /// What stands in printable characters, also in those of an address.
    fn text(&self, run: &[u8], start: usize, finds: &mut Finds) {
        self.plain_text(run, start, finds);
        if let Some(address) = text::from_percent(run) {
            self.plain_text(&address, start, finds);
        }
    }

    fn plain_text(&self, run: &[u8], start: usize, finds: &mut Finds) {
        // Each number, or every second or third one: beside each stands which it is.
        let mut followers: Vec<Follower<'_, f64>> =
            (0..1 + 2 + 3).map(|_| Follower::new(&self.canaries)).collect();
        let (mut list, mut count) = (Vec::new(), 0);
        text::numbers(run, |at, number| {
            for place in [0, 1 + count % 2, 3 + count % 3] {
                let of = followers.get_mut(place).and_then(|follower| follower.follow(number));
                if let Some(canary) = of {
                    finds.add(canary, || "numbers in text".to_owned(), start + at);
                }
            }
            count += 1;
            let is_byte = number.fract() == 0.0 && (0.0..256.0).contains(&number);
            match is_byte {
                true => list.push(number as u8),
                false => self.list(&mut list, start + at, finds),
            }
        });
        self.list(&mut list, start, finds);
        text::decoded(run, SIGNS + 1, |kind, at, bytes| {
            self.raw(bytes, start + at, kind, finds);
        });
    }

    /// Numbers that might be bytes.
    fn list(&self, list: &mut Vec<u8>, at: usize, finds: &mut Finds) {
        if list.len() > SIGNS {
            self.raw(list, at, "a list of bytes: ", finds);
        }
        list.clear();
    }

    /// Words of every kind.
    fn raw(&self, bytes: &[u8], start: usize, within: &str, finds: &mut Finds) {
        let mut at = |of: (&str, u32), kind: &str, place: usize| {
            finds.add(of, || format!("{within}{kind}"), start + place);
        };
        let canaries = &self.canaries;
        every(canaries, bytes, |[byte]: [u8; 1]| byte, |of, place| at(of, "8-bit unsigned", place));
        every(
            canaries,
            bytes,
            |[byte]: [u8; 1]| byte as i8,
            |of, place| {
                at(of, "8-bit signed", place);
            },
        );
        macro_rules! kinds {
            ($width:literal, $unsigned:ty, $signed:ty, $bits:literal, $from:ident, $order:literal) => {
                every(canaries, bytes, <$unsigned>::$from, |of, place| {
                    at(of, concat!($bits, "-bit unsigned, ", $order), place);
                });
                every(canaries, bytes, <$signed>::$from, |of, place| {
                    at(of, concat!($bits, "-bit signed, ", $order), place);
                });
                // Floats of every width are ordered by sign and magnitude.
                let read = |bytes: [u8; $width]| {
                    let bits = <$unsigned>::$from(bytes);
                    let sign: $unsigned = 1 << ($bits - 1);
                    if bits & sign == 0 { bits | sign } else { !bits }
                };
                every(canaries, bytes, read, |of, place| {
                    at(of, concat!($bits, "-bit float, ", $order), place);
                });
            };
        }
        kinds!(2, u16, i16, 16, from_le_bytes, "little-endian");
        kinds!(2, u16, i16, 16, from_be_bytes, "big-endian");
        kinds!(4, u32, i32, 32, from_le_bytes, "little-endian");
        kinds!(4, u32, i32, 32, from_be_bytes, "big-endian");
        kinds!(8, u64, i64, 64, from_le_bytes, "little-endian");
        kinds!(8, u64, i64, 64, from_be_bytes, "big-endian");
        for field in &self.fields {
            let read = |bytes| field.of(u64::from_le_bytes(bytes));
            every(canaries, bytes, read, |of, place| at(of, "packed in 64-bit words", place));
        }
    }
}

/// Follows words of `W` bytes at every alignment.
#[inline(always)]
fn every<const W: usize, T: PartialOrd + Copy>(
    canaries: &Canaries,
    bytes: &[u8],
    read: impl Fn([u8; W]) -> T,
    mut found: impl FnMut((&str, u32), usize),
) {
    for alignment in 0..W {
        let Some(rest) = bytes.get(alignment..) else { return };
        let mut follower = Follower::new(canaries);
        let (words, _) = rest.as_chunks::<W>();
        for (k, word) in words.iter().enumerate() {
            if let Some(of) = follower.follow(read(*word)) {
                found(of, alignment + k * W);
            }
        }
    }
}

/// The words of a body of whole groups.
pub(super) fn words_of(bytes: &[u8], wire_bits: u8) -> Option<Vec<u64>> {
    let group = usize::from(wire_bits) * GROUP / 8;
    if bytes.is_empty() || !bytes.len().is_multiple_of(group) {
        return None;
    }
    let mut words = vec![0; bytes.len() / group * GROUP];
    unpack(bytes, wire_bits, &mut words);
    Some(words)
}

/// What lies between long runs of zeros, with where it begins.
fn segments(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut segments = Vec::new();
    let mut start = 0;
    for (k, block) in bytes.chunks(ZEROS).enumerate() {
        if block.len() == ZEROS && block.iter().all(|byte| *byte == 0) {
            segments.push(start..k * ZEROS);
            start = (k + 1) * ZEROS;
        }
    }
    segments.push(start..bytes.len());
    let filled = segments.into_iter().filter(|range| !range.is_empty());
    filled.filter_map(|range| Some((range.start, bytes.get(range)?))).collect()
}

#[cfg(test)]
mod tests;
