//! Masks in PNG and GIF files with a palette: indices, and the colours that they stand for.
//!
//! `image` gives colours only, in which two indices may look alike. The decoders below it are asked.

use std::io::Cursor;

use crate::error::Fault;
use crate::format::Format;
use crate::mask::MaskOptions;
use crate::options::Limits;

/// How many indices a refusal names.
const NAMED: usize = 6;

/// A picture of indices.
pub(super) struct Indexed {
    /// Pixels in a row, and rows.
    pub(super) size: (u32, u32),
    /// Row-major.
    indices: Vec<u8>,
    /// Those that pixels have, in order.
    used: Vec<u8>,
    /// Red, green, blue and alpha of each index.
    colours: Vec<[u8; 4]>,
    has_alpha: bool,
}

impl Indexed {
    /// Decodes a picture that has a palette; `None` for others, and for a GIF whose first frame
    /// leaves a part of the picture without any index. Marks have been checked.
    pub(super) fn decode(
        bytes: &[u8],
        format: Format,
        limits: Limits,
    ) -> Result<Option<Self>, Fault> {
        match format {
            Format::Png => png(bytes, limits),
            Format::Gif => gif(bytes, limits),
            _ => Ok(None),
        }
    }

    fn new(
        format: Format,
        size: (u32, u32),
        indices: Vec<u8>,
        colours: Vec<[u8; 4]>,
        has_alpha: bool,
    ) -> Result<Self, Fault> {
        let mut is_used = [false; 256];
        for index in &indices {
            is_used[usize::from(*index)] = true;
        }
        let used = (0..=u8::MAX).zip(is_used);
        let used: Vec<u8> = used.filter_map(|(index, used)| used.then_some(index)).collect();
        let count = colours.len();
        if let Some(index) = used.iter().find(|index| usize::from(**index) >= count) {
            let what = format!("expected indices below {count}, its colours, found {index}");
            return Err(Fault::damaged(format, what));
        }
        Ok(Self { size, indices, used, colours, has_alpha })
    }

    /// The values that tell inside from outside: those of the channel that is chosen; else the
    /// indices, where labels are chosen; else the greys that they stand for.
    ///
    /// # Errors
    /// [`Fault::Index`] for a channel that there is not. [`Fault::Mask`], naming indices and
    /// colours, for labels that are greys, and without a choice for anything but black and another
    /// grey of one index each.
    pub(super) fn values(&self, options: &MaskOptions) -> Result<Vec<u16>, Fault> {
        if let Some(asked) = options.channel {
            let count = if self.has_alpha { 4 } else { 3 };
            return if asked < count {
                Ok(self.channel(asked))
            } else {
                Err(Fault::Index { what: "mask channel", asked, count })
            };
        }
        if options.labels.is_empty() {
            self.check_greys()?;
            return Ok(self.channel(0));
        }
        self.check_labels(&options.labels)?;
        Ok(self.indices.iter().copied().map(u16::from).collect())
    }

    fn channel(&self, channel: usize) -> Vec<u16> {
        let value = |index: &u8| self.colour(*index).into_iter().nth(channel).unwrap_or_default();
        self.indices.iter().map(value).map(u16::from).collect()
    }

    /// The indices in use are all of one grey, or of black and another grey. Where two look alike, or
    /// there are more, the colours do not say what is inside.
    fn check_greys(&self) -> Result<(), Fault> {
        let mut alphas = self.used.iter().map(|index| self.colour(*index)[3]);
        let first = alphas.next();
        let is_even = alphas.all(|alpha| Some(alpha) == first);
        let mut greys = self.greys().unwrap_or_default();
        greys.sort_unstable();
        if is_even && matches!(greys[..], [_] | [0, 1..=u8::MAX]) {
            return Ok(());
        }
        let expected = "black outside and one grey inside, each of one index";
        let advice = "choose the indices that are inside by --mask-label, or a channel of the colours by --mask-channel";
        Err(Fault::mask(expected, self.named(), advice))
    }

    /// A label that is no index in use, and a grey in use, would choose nothing where it was meant to.
    fn check_labels(&self, labels: &[u32]) -> Result<(), Fault> {
        let Some(greys) = self.greys() else { return Ok(()) };
        let holds =
            |values: &[u8], label: u32| values.iter().any(|value| u32::from(*value) == label);
        let is_grey = |label: &&u32| holds(&greys, **label) && !holds(&self.used, **label);
        match labels.iter().find(is_grey) {
            Some(grey) => Err(Fault::mask(
                format!("labels that are indices of its palette (--mask-label {grey} is a grey)"),
                self.named(),
                "choose indices, or a grey by --mask-channel 0 beside --mask-label",
            )),
            None => Ok(()),
        }
    }

    /// The greys of the indices in use; `None` if one stands for a colour.
    fn greys(&self) -> Option<Vec<u8>> {
        let grey = |[red, green, blue, _]: [u8; 4]| (red == green && green == blue).then_some(red);
        self.used.iter().map(|index| grey(self.colour(*index))).collect()
    }

    fn colour(&self, index: u8) -> [u8; 4] {
        self.colours.get(usize::from(index)).copied().unwrap_or_default()
    }

    /// The indices in use with their colours.
    fn named(&self) -> String {
        let name = |index: &u8| match self.colour(*index) {
            [red, green, blue, 255] => format!("{index} ({red}, {green}, {blue})"),
            [red, green, blue, alpha] => format!("{index} ({red}, {green}, {blue}, alpha {alpha})"),
        };
        let named: Vec<String> = self.used.iter().take(NAMED).map(name).collect();
        let more = if self.used.len() > NAMED { " and more" } else { "" };
        format!("a palette of which the indices {}{more} are in use", named.join(", "))
    }
}

/// Where the header says that pixels are indices (PNG, third edition, 11.2.1).
fn png(bytes: &[u8], limits: Limits) -> Result<Option<Indexed>, Fault> {
    let fault = |error: png::DecodingError| Fault::damaged(Format::Png, error.to_string());
    let most = usize::try_from(limits.values.saturating_mul(12)).unwrap_or(usize::MAX);
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: most });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let header = decoder.read_header_info().map_err(fault)?;
    if header.color_type != png::ColorType::Indexed {
        return Ok(None);
    }
    let (width, height) = header.size();
    check_pixels((width, height), limits)?;
    let mut reader = decoder.read_info().map_err(fault)?;
    let bytes = reader.output_buffer_size().unwrap_or(usize::MAX);
    Fault::limit("bytes of the pixels", limits.values, bytes as u64)?;
    let mut packed = vec![0; bytes];
    let frame = reader.next_frame(&mut packed).map_err(fault)?;
    let Some(palette) = reader.info().palette.as_deref() else {
        return Err(Fault::damaged(Format::Png, "expected a palette, found none"));
    };
    let indices = packed.chunks(frame.line_size.max(1));
    let indices = indices.flat_map(|row| unpacked(row, frame.bit_depth as u8, width as usize));
    let alpha = reader.info().trns.as_deref();
    let alpha_of = |index| alpha.and_then(|alpha| alpha.get(index)).copied().unwrap_or(u8::MAX);
    let colours = colours(palette, alpha_of);
    let size = (width, height);
    Indexed::new(Format::Png, size, indices.collect(), colours, alpha.is_some()).map(Some)
}

/// The indices of a row, of 1, 2, 4 or 8 bits each, the first in the highest bits.
fn unpacked(row: &[u8], bits: u8, width: usize) -> impl Iterator<Item = u8> {
    let places = move || (0..8 / bits).rev().map(move |place| place * bits);
    let index =
        move |byte: u8| places().map(move |place| (byte >> place) & (u8::MAX >> (8 - bits)));
    row.iter().copied().flat_map(index).take(width)
}

/// The first frame, where it is as large as the picture.
fn gif(bytes: &[u8], limits: Limits) -> Result<Option<Indexed>, Fault> {
    let fault = |error: gif::DecodingError| Fault::damaged(Format::Gif, error.to_string());
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut reader = options.read_info(Cursor::new(bytes)).map_err(fault)?;
    let (width, height) = (reader.width(), reader.height());
    let size = (u32::from(width), u32::from(height));
    check_pixels(size, limits)?;
    let Some(frame) = reader.next_frame_info().map_err(fault)? else {
        return Err(Fault::damaged(Format::Gif, "expected a frame, found none"));
    };
    let transparent = frame.transparent.map(usize::from);
    if (frame.left, frame.top, frame.width, frame.height) != (0, 0, width, height) {
        return Ok(None);
    }
    let mut indices = vec![0; usize::from(width) * usize::from(height)];
    reader.read_into_buffer(&mut indices).map_err(fault)?;
    let palette = reader.palette().map_err(fault)?;
    let alpha = |index| if Some(index) == transparent { 0 } else { u8::MAX };
    let colours = colours(palette, alpha);
    Indexed::new(Format::Gif, size, indices, colours, true).map(Some)
}

fn check_pixels((width, height): (u32, u32), limits: Limits) -> Result<(), Fault> {
    Fault::limit("pixels", limits.values, u64::from(width) * u64::from(height))
}

/// Three bytes a colour, with the alpha of each index.
fn colours(palette: &[u8], alpha: impl Fn(usize) -> u8) -> Vec<[u8; 4]> {
    let opaque = palette.as_chunks::<3>().0.iter().enumerate();
    opaque.map(|(index, [red, green, blue])| [*red, *green, *blue, alpha(index)]).collect()
}
