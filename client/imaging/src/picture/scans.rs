//! Whether the scans of a JPEG hold the whole picture (ITU T.81, annexes B and F to H).
//!
//! Decoders fill up what a scan lacks, and say nothing of it. So all scans are walked here: code by
//! code, without any transform, until each has told every block that it has to tell of.

use super::huffman::{Bits, Code};
use super::marks::{END, SCAN, START};

/// Most components of a picture.
const MOST_COMPONENTS: usize = 4;

/// Checks that every scan reaches its end, and that together they tell all coefficients of all
/// components, or all samples where they are lossless. Processes that no decoder here reads are left
/// to its refusal, and so are pictures of more than `most` pixels. The segments have been walked by
/// [`marks::jpeg`](super::marks::jpeg).
pub(crate) fn check(bytes: &[u8], most: u64) -> Result<(), String> {
    let mut walk = Walk::default();
    let mut at = 0;
    loop {
        let found = super::marks::next_marker(bytes, at);
        let (marker, after) = found.ok_or("expected an end marker, found none")?;
        match marker {
            END => return walk.frame.map_or(Ok(()), |frame| frame.is_whole()),
            START => {
                at = after;
                continue;
            }
            _ => {}
        }
        let (segment, rest) = segment(bytes, after).ok_or("it ends within a segment")?;
        at = rest;
        match marker {
            0xc4 => walk.codes(segment).ok_or("its Huffman tables cannot be read")?,
            0xdd => {
                walk.restarts = word(segment, 0).ok_or("its restart interval cannot be read")?
            }
            0xc0..=0xc3 => {
                let [height, width] = [1, 3].map(|at| word(segment, at).map_or(0, u64::from));
                if !(1..=most).contains(&(height * width)) {
                    return Ok(());
                }
                let frame = Frame::read(marker, segment).ok_or("its frame cannot be read")?;
                walk.frame = Some(frame);
            }
            // Arithmetic coding, hierarchies and JPEG-LS.
            0xc5..=0xc7 | 0xc9..=0xcf | 0xf7 => return Ok(()),
            SCAN => at = walk.scan(segment, bytes, rest)?,
            _ => {}
        }
    }
}

/// What stands after a segment's length, and where the next begins.
fn segment(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let end = at + usize::from(word(bytes, at)?);
    Some((bytes.get(at + 2..end)?, end))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// What the segments so far have said.
#[derive(Default)]
struct Walk {
    /// Huffman codes by class (DC or lossless, AC) and number.
    codes: [[Option<Code>; 4]; 2],
    /// Units of a scan from one restart to the next; 0 without restarts.
    restarts: u16,
    frame: Option<Frame>,
}

struct Frame {
    marker: u8,
    /// Units of an interleaved scan.
    units: (usize, usize),
    components: Vec<Component>,
}

struct Component {
    name: u8,
    /// Blocks of a unit, or samples where it is lossless.
    sampling: (usize, usize),
    /// Blocks of the component alone.
    own: (usize, usize),
    /// Blocks in a row, with those that fill up the last unit.
    wide: usize,
    /// Progressive: which coefficients of each block are known not to be 0.
    filled: Vec<u64>,
    /// Down to which bit each coefficient has been told; `None` where not at all.
    told: [Option<u8>; 64],
}

/// A component within a scan.
struct Part {
    component: usize,
    direct: usize,
    alternating: usize,
}

impl Frame {
    fn read(marker: u8, segment: &[u8]) -> Option<Self> {
        let (height, width) = (usize::from(word(segment, 1)?), usize::from(word(segment, 3)?));
        let fields = segment.get(6..)?.as_chunks::<3>().0;
        let fields = fields.get(..usize::from(*segment.get(5)?))?;
        // More than four no decoder here reads, and 255 would take gigabytes.
        if fields.len() > MOST_COMPONENTS {
            return None;
        }
        let sampling = |field: &[u8; 3]| (usize::from(field[1] >> 4), usize::from(field[1] & 15));
        let largest = fields.iter().map(sampling).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))?;
        if fields.iter().map(sampling).any(|(across, down)| across == 0 || down == 0) {
            return None;
        }
        // Samples of a block in one direction.
        let side = if marker == 0xc3 { 1 } else { 8 };
        let units = (width.div_ceil(side * largest.0), height.div_ceil(side * largest.1));
        let component = |field: &[u8; 3]| {
            let (across, down) = sampling(field);
            let own = |length: usize, sampling: usize, largest: usize| {
                (length * sampling).div_ceil(largest).div_ceil(side)
            };
            let blocks = if marker == 0xc2 { units.0 * across * units.1 * down } else { 0 };
            Component {
                name: field[0],
                sampling: (across, down),
                own: (own(width, across, largest.0), own(height, down, largest.1)),
                wide: units.0 * across,
                filled: vec![0; blocks],
                told: [None; 64],
            }
        };
        Some(Self { marker, units, components: fields.iter().map(component).collect() })
    }

    /// Whether every coefficient of every component has been told down to its last bit.
    fn is_whole(&self) -> Result<(), String> {
        let last = if self.marker == 0xc3 { 1 } else { 64 };
        let lacks =
            |component: &Component| component.told.iter().take(last).any(|told| *told != Some(0));
        match self.components.iter().position(lacks) {
            None => Ok(()),
            Some(which) => Err(format!(
                "expected scans down to the last bit of every component, found too few for component {} of {}",
                which + 1,
                self.components.len()
            )),
        }
    }
}

impl Walk {
    fn codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((kind, rest)) = segment.split_first() {
            let (lengths, rest) = rest.split_first_chunk::<16>()?;
            let count = lengths.iter().map(|length| usize::from(*length)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let table = self.codes.get_mut(usize::from(kind >> 4))?;
            *table.get_mut(usize::from(kind & 15))? = Some(Code::new(lengths, symbols));
            segment = rest;
        }
        Some(())
    }

    /// Walks a scan; where its coded data end.
    fn scan(&mut self, header: &[u8], bytes: &[u8], at: usize) -> Result<usize, String> {
        let frame = self.frame.as_mut().ok_or("expected a frame before its first scan")?;
        let scan = Scan::read(frame, header).ok_or("the header of a scan cannot be read")?;
        scan.note(frame)?;
        let (across, down) = match scan.parts[..] {
            [Part { component, .. }] => frame.components[component].own,
            _ => frame.units,
        };
        let units = across * down;
        let mut bits = Bits::new(bytes, at);
        for unit in 0..units {
            if self.restarts > 0 && unit > 0 && unit.is_multiple_of(self.restarts.into()) {
                let number = unit / usize::from(self.restarts) - 1;
                let (what, found) = (number % 8, bits.restart());
                if found != Some(what as u8) {
                    return Err(short(unit, units));
                }
            }
            let place = (unit % across, unit / across);
            scan.unit(frame, &self.codes, place, &mut bits).ok_or_else(|| short(unit, units))?;
        }
        Ok(bits.at())
    }
}

fn short(unit: usize, units: usize) -> String {
    format!("expected a scan of {units} units, found one that is damaged or ends after {unit}")
}

/// The header of a scan.
struct Scan {
    parts: Vec<Part>,
    /// The first and last coefficient, in zigzag order.
    band: (usize, usize),
    /// Which bit was the last one told before, and which is now.
    before: u8,
    bit: u8,
}

impl Scan {
    fn read(frame: &Frame, header: &[u8]) -> Option<Self> {
        let (count, rest) = header.split_first()?;
        let (fields, rest) = rest.split_at_checked(2 * usize::from(*count))?;
        let part = |[name, tables]: &[u8; 2]| {
            let component = frame.components.iter().position(|known| known.name == *name)?;
            let (direct, alternating) = (usize::from(tables >> 4), usize::from(tables & 15));
            Some(Part { component, direct, alternating })
        };
        let parts = fields.as_chunks::<2>().0.iter().map(part).collect::<Option<Vec<_>>>()?;
        let [first, last, bits] = *rest.first_chunk::<3>()?;
        let scan = match frame.marker {
            0xc2 => {
                let band = (usize::from(first), usize::from(last));
                Self { parts, band, before: bits >> 4, bit: bits & 15 }
            }
            0xc3 => Self { parts, band: (0, 0), before: 0, bit: 0 },
            _ => Self { parts, band: (0, 63), before: 0, bit: 0 },
        };
        let (first, last) = scan.band;
        // DC and AC have scans of their own, and AC a scan for each component (G.1.1.1.1).
        let is_single = scan.parts.len() == 1;
        let fits = match (frame.marker, first) {
            (0xc2, 0) => last == 0,
            (0xc2, _) => first <= last && last < 64 && is_single,
            _ => true,
        };
        (fits && !scan.parts.is_empty()).then_some(scan)
    }

    /// Takes note of what the scan tells, which goes on where an earlier one ended.
    fn note(&self, frame: &mut Frame) -> Result<(), String> {
        for part in &self.parts {
            let told = &mut frame.components[part.component].told[self.band.0..=self.band.1];
            for told in told {
                let follows = match (frame.marker, *told) {
                    (0xc2, Some(bit)) => self.before == bit && self.bit + 1 == bit,
                    (0xc2, None) => self.before == 0,
                    (_, told) => told.is_none(),
                };
                if !follows {
                    return Err("expected scans that go on from one another, found others".into());
                }
                *told = Some(self.bit);
            }
        }
        Ok(())
    }

    /// Walks the blocks of a unit: one of a component alone, else each component's.
    fn unit(
        &self,
        frame: &mut Frame,
        codes: &[[Option<Code>; 4]; 2],
        (column, row): (usize, usize),
        bits: &mut Bits<'_>,
    ) -> Option<()> {
        let is_single = self.parts.len() == 1;
        for part in &self.parts {
            let component = &mut frame.components[part.component];
            let (across, down) = if is_single { (1, 1) } else { component.sampling };
            let direct = codes[0].get(part.direct).and_then(Option::as_ref);
            let alternating = codes[1].get(part.alternating).and_then(Option::as_ref);
            for index in 0..across * down {
                let place = (column * across + index % across, row * down + index / across);
                match frame.marker {
                    0xc2 if self.band.0 > 0 => {
                        let filled =
                            component.filled.get_mut(place.1 * component.wide + place.0)?;
                        self.band(alternating?, bits, filled)?;
                    }
                    0xc2 if self.before > 0 => _ = bits.take(1)?,
                    0xc2 | 0xc3 => bits.number(direct?)?,
                    _ => {
                        bits.number(direct?)?;
                        sequential(alternating?, bits)?;
                    }
                }
            }
        }
        Some(())
    }

    /// A block's part of a band of a progressive scan (G.1.2.2 and G.1.2.3).
    fn band(&self, code: &Code, bits: &mut Bits<'_>, filled: &mut u64) -> Option<()> {
        let (first, last) = self.band;
        let is_first = self.before == 0;
        let mut at = first;
        while bits.run == 0 && at <= last {
            let symbol = bits.symbol(code)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                // The rest of this band, and of so many that follow.
                bits.run = (1 << zeros) + u32::from(bits.take(zeros)?);
                break;
            }
            if size > 0 {
                bits.take(if is_first { size } else { 1 })?;
            }
            // A refinement passes over what is filled already, with a bit for each.
            loop {
                (at <= last).then_some(())?;
                let is_filled = !is_first && *filled >> at & 1 == 1;
                if is_filled {
                    bits.take(1)?;
                } else if zeros == 0 {
                    *filled |= u64::from(size > 0) << at;
                    at += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
        }
        if bits.run > 0 {
            if !is_first {
                for _ in (at..=last).filter(|at| *filled >> at & 1 == 1) {
                    bits.take(1)?;
                }
            }
            bits.run -= 1;
        }
        Some(())
    }
}

/// The other 63 coefficients of a block that is told at once (F.1.2.2).
fn sequential(code: &Code, bits: &mut Bits<'_>) -> Option<()> {
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(code)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size == 0 && zeros < 15 {
            return Some(());
        }
        at += usize::from(zeros) + 1;
        bits.take(size)?;
    }
    (at == 64).then_some(())
}
