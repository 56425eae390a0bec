//! Bits of a JPEG's coded data, and the Huffman codes in them (ITU T.81, C and F.2.2).

/// A Huffman code.
pub(super) struct Code {
    /// For each length from 1 to 16 bits: what the codes of that length are below, and what is added to
    /// one for the place of its symbol.
    lengths: [(u32, i32); 16],
    symbols: Vec<u8>,
}

impl Code {
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let (mut code, mut place) = (0_u32, 0_i32);
        let lengths = counts.map(|count| {
            let first = code;
            code += u32::from(count);
            let length = (code, place - i32::try_from(first).unwrap_or(i32::MAX));
            place += i32::from(count);
            code <<= 1;
            length
        });
        Self { lengths, symbols: symbols.to_vec() }
    }
}

/// Reads bits up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The bits that have been read and not taken, in the lowest places.
    held: u32,
    count: u8,
    /// Blocks of a progressive scan to come, this one among them, of which nothing new is told.
    pub(super) run: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, run: 0 }
    }

    /// Where the next byte stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next bits, of which there are at most 16; `None` where a marker or the end comes first.
    pub(super) fn take(&mut self, count: u8) -> Option<u16> {
        while self.count < count {
            let byte = *self.bytes.get(self.at)?;
            if byte == 0xff {
                (self.bytes.get(self.at + 1) == Some(&0)).then_some(())?;
                self.at += 1;
            }
            self.at += 1;
            self.held = self.held << 8 | u32::from(byte);
            self.count += 8;
        }
        self.count -= count;
        let bits = self.held >> self.count & ((1 << count) - 1);
        self.held &= (1 << self.count) - 1;
        Some(bits as u16)
    }

    /// The symbol of the next code; `None` where there is no such code.
    pub(super) fn symbol(&mut self, code: &Code) -> Option<u8> {
        let mut found = 0;
        for (below, shift) in &code.lengths {
            found = found << 1 | u32::from(self.take(1)?);
            if found < *below {
                let place = i32::try_from(found).ok()? + shift;
                return code.symbols.get(usize::try_from(place).ok()?).copied();
            }
        }
        None
    }

    /// A number after its size: a DC difference, or that of a lossless sample, where 16 bits need
    /// none more.
    pub(super) fn number(&mut self, code: &Code) -> Option<()> {
        match self.symbol(code)? {
            size @ 0..=15 => self.take(size).map(drop),
            16 => Some(()),
            _ => None,
        }
    }

    /// Goes on after the next marker, which must be a restart; its number.
    pub(super) fn restart(&mut self) -> Option<u8> {
        (self.held, self.count, self.run) = (0, 0, 0);
        let rest = self.bytes.get(self.at..)?;
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        let offset = rest.windows(2).position(is_marker)?;
        let marker = *rest.get(offset + 1)?;
        self.at += offset + 2;
        matches!(marker, 0xd0..=0xd7).then_some(marker & 7)
    }
}
