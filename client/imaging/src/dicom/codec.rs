//! Pixel data to samples, frame by frame.

use std::borrow::Cow;

use dicom_core::value::Value;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use jpeg_decoder::{ColorTransform, PixelFormat, UnsupportedFeature};

use super::attributes::Attributes;
use super::fault::{damaged, unsupported};
use super::file::Syntax;
use super::samples::Samples;
use super::{codestream, native, rle};
use crate::error::Fault;
use crate::picture::{marks, scans};

/// The frames of a file.
pub(super) struct Frames<'a> {
    attributes: &'a Attributes,
    syntax: &'a Syntax,
    data: Data<'a>,
}

enum Data<'a> {
    /// Bytes of all frames, one after the other, in little-endian order.
    Native(Cow<'a, [u8]>),
    /// The encoded bytes of each frame.
    Encoded(Codec, Vec<Cow<'a, [u8]>>),
}

#[derive(Clone, Copy, Debug)]
enum Codec {
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

impl Codec {
    fn of(uid: &str) -> Option<Self> {
        Some(match uid {
            uids::RLE_LOSSLESS => Self::Rle,
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1 => Self::Jpeg,
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Self::JpegLs,
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Self::Jpeg2000,
            _ => return None,
        })
    }
}

impl<'a> Frames<'a> {
    pub(super) fn new(
        object: &'a InMemDicomObject,
        attributes: &'a Attributes,
        syntax: &'a Syntax,
    ) -> Result<Self, Fault> {
        let element = object.get(tags::PIXEL_DATA).ok_or_else(|| damaged("no pixel data"))?;
        let data = match element.value() {
            Value::Primitive(_) if Codec::of(&syntax.uid).is_some() => {
                let name = &syntax.name;
                return Err(damaged(format!("expected fragments of {name}, found plain pixels")));
            }
            Value::Primitive(value) => {
                let bytes = native::bytes(value, attributes, syntax)?;
                native::check_rest(&bytes, attributes)?;
                Data::Native(bytes)
            }
            Value::PixelSequence(sequence) => {
                let codec = Codec::of(&syntax.uid).ok_or_else(|| syntax.refuse(""))?;
                let offsets = sequence.offset_table();
                let frames = by_frame(sequence.fragments(), offsets, attributes.frames)?;
                Data::Encoded(codec, frames)
            }
            Value::Sequence(_) => return Err(damaged("its pixel data is a sequence of data sets")),
        };
        Ok(Self { attributes, syntax, data })
    }

    /// The samples of one frame, `rows * columns` for each of its channels.
    pub(super) fn decode(&self, frame: usize) -> Result<Samples, Fault> {
        let attributes = self.attributes;
        let samples = match &self.data {
            Data::Native(bytes) => native::frame(bytes, attributes, frame),
            Data::Encoded(codec, frames) => {
                let missing = || damaged(format!("frame {frame} is missing"));
                let bytes = frames.get(frame).ok_or_else(missing)?;
                match codec {
                    Codec::Rle => run_lengths(bytes, attributes),
                    Codec::Jpeg => self.jpeg(bytes),
                    Codec::JpegLs => self.jpeg_ls(bytes),
                    Codec::Jpeg2000 => self.jpeg_2000(bytes),
                }
            }
        }?;
        if samples.values.len() != attributes.values() {
            let (expected, found) = (attributes.values(), samples.values.len());
            return Err(damaged(format!("expected {expected} samples a frame, found {found}")));
        }
        Ok(samples)
    }

    fn broken(&self, error: impl std::fmt::Display) -> Fault {
        damaged(format!("its {} data: {error}", self.syntax.name))
    }

    /// Refuses a picture of another size than the attributes state.
    fn same_size(&self, width: u64, height: u64, channels: u64) -> Result<(), Fault> {
        let Attributes { rows, columns, samples, .. } = *self.attributes;
        if (width, height, channels) == (columns as u64, rows as u64, u64::from(samples)) {
            return Ok(());
        }
        Err(self.broken(format!(
            "expected {columns} x {rows} pixels of {samples} samples, found {width} x {height} of {channels}"
        )))
    }

    fn jpeg(&self, bytes: &[u8]) -> Result<Samples, Fault> {
        let most = self.attributes.pixels() as u64;
        let whole = marks::jpeg(bytes).and_then(|()| scans::check(bytes, most));
        whole.map_err(|what| self.broken(what))?;
        let mut decoder = jpeg_decoder::Decoder::new(bytes);
        // The components as they are: what colour they mean is said by the attributes, not by APP
        // markers or the components' names.
        decoder.set_color_transform(ColorTransform::RGB);
        // Samples of at most two bytes.
        decoder.set_max_decoding_buffer_size(self.attributes.values().saturating_mul(2));
        let fault = |error| match error {
            jpeg_decoder::Error::Unsupported(UnsupportedFeature::SamplePrecision(bits)) => {
                self.syntax.refuse(&format!("samples of {bits} bits"))
            }
            jpeg_decoder::Error::Unsupported(what) => self.syntax.refuse(&format!("{what:?}")),
            error => self.broken(error),
        };
        decoder.read_info().map_err(fault)?;
        let info = decoder.info().ok_or_else(|| self.broken("no picture"))?;
        let channels = match info.pixel_format {
            PixelFormat::L8 | PixelFormat::L16 => 1,
            PixelFormat::RGB24 => 3,
            PixelFormat::CMYK32 => 4,
        };
        self.same_size(info.width.into(), info.height.into(), channels)?;
        let decoded = decoder.decode().map_err(fault)?;
        let values = match info.pixel_format {
            PixelFormat::L16 => {
                let words = decoded.as_chunks::<2>().0.iter();
                words.map(|word| i64::from(u16::from_ne_bytes(*word))).collect()
            }
            _ => decoded.into_iter().map(i64::from).collect(),
        };
        Ok(Samples { values, planar: false, is_rgb: false })
    }

    fn jpeg_ls(&self, bytes: &[u8]) -> Result<Samples, Fault> {
        let Attributes { rows, columns, samples, .. } = *self.attributes;
        if samples != 1 {
            return Err(self.syntax.refuse("colour"));
        }
        marks::jpeg(bytes).map_err(|what| self.broken(what))?;
        // The decoder would compare their number only.
        let (width, height, channels) =
            marks::jpeg_ls_size(bytes).ok_or_else(|| self.broken("no frame header"))?;
        self.same_size(width.into(), height.into(), channels.into())?;
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let decoded = jpegls::decode(bytes, side(columns), side(rows));
        let (values, ..) = decoded.map_err(|error| match error {
            jpegls::CodecError::Unsupported(what) => self.syntax.refuse(&what),
            error => self.broken(error),
        })?;
        let values = values.into_iter().map(i64::from).collect();
        Ok(Samples { values, planar: false, is_rgb: false })
    }

    fn jpeg_2000(&self, bytes: &[u8]) -> Result<Samples, Fault> {
        // What decoders make up for a truncated stream shows by the missing end marker
        // (ISO 15444-1, A.4.4), after which fragments are padded, by zeros or by ones.
        let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | 0xff)).unwrap_or(0);
        if bytes.get(..=end).is_none_or(|bytes| !bytes.ends_with(&[0xff, 0xd9])) {
            return Err(self.broken("expected an end marker, found none"));
        }
        let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
        let image = Image::new(bytes, &settings).map_err(|error| self.broken(error))?;
        let channels = u64::from(image.color_space().num_channels()) + u64::from(image.has_alpha());
        self.same_size(image.width().into(), image.height().into(), channels)?;
        let header =
            codestream::Header::read(bytes).ok_or_else(|| self.broken("no main header"))?;
        let is_rgb = channels == 3 && self.undoes_transform(header)?;
        let mut context = DecoderContext::default();
        let decoded = image.decode(&mut context).map_err(|error| self.broken(error))?;
        let components = decoded.components();
        let mut values = Vec::with_capacity(self.attributes.values());
        for component in components {
            // The decoder shifts signed components up as it has to shift unsigned ones.
            let shift = if header.signed { (1_i64 << component.bit_depth()) / 2 } else { 0 };
            let most = 1_i64 << component.bit_depth();
            values.extend(
                component
                    .samples()
                    .iter()
                    .map(|sample| (sample.round() as i64).clamp(0, most - 1) - shift),
            );
        }
        Ok(Samples { values, planar: true, is_rgb })
    }

    /// Whether the decoder makes RGB of a colour picture, by undoing the multiple component
    /// transform. Refuses what it would do on a guess of its own, and a transform that the
    /// attributes state and the codestream lacks.
    fn undoes_transform(&self, header: codestream::Header) -> Result<bool, Fault> {
        let photometric = &self.attributes.photometric;
        if header.boxed || header.subsampled {
            let what = if header.boxed { "colour within JP2 boxes" } else { "subsampled colour" };
            return Err(self.syntax.refuse(what));
        }
        if matches!(photometric.as_str(), "YBR_ICT" | "YBR_RCT") && !header.transformed {
            let what = "expected the multiple component transform of";
            return Err(self.broken(format!("{what} {photometric}, found none")));
        }
        Ok(header.transformed)
    }
}

fn run_lengths(bytes: &[u8], attributes: &Attributes) -> Result<Samples, Fault> {
    let size = usize::from(attributes.bits_allocated / 8);
    if size == 0 {
        return Err(unsupported("single bits in RLE", "export it uncompressed"));
    }
    let planes = size * usize::from(attributes.samples);
    let decoded = rle::decode(bytes, planes, attributes.pixels()).map_err(damaged)?;
    let mut values = Vec::with_capacity(attributes.values());
    // The planes of a sample come with the high byte first.
    for sample in decoded.chunks_exact(size) {
        values.extend((0..attributes.pixels()).map(|pixel| {
            let byte = |plane: &Vec<u8>| i64::from(plane.get(pixel).copied().unwrap_or(0));
            sample.iter().fold(0, |value, plane| value << 8 | byte(plane))
        }));
    }
    Ok(Samples { values, planar: true, is_rgb: false })
}

/// Groups fragments to frames: one each, or all for the only frame, or by the offset table.
fn by_frame<'a>(
    fragments: &'a [Vec<u8>],
    offsets: &[u32],
    frames: usize,
) -> Result<Vec<Cow<'a, [u8]>>, Fault> {
    if fragments.len() == frames {
        return Ok(fragments.iter().map(|fragment| Cow::Borrowed(fragment.as_slice())).collect());
    }
    if let (1, [first, more @ ..]) = (frames, fragments) {
        // Every encoding begins a frame with the same bytes.
        let start = first.get(..8).unwrap_or(first);
        if more.iter().any(|fragment| fragment.starts_with(start)) {
            let found = fragments.len();
            return Err(damaged(format!("expected one frame, found {found} fragments of several")));
        }
        return Ok(vec![Cow::Owned(fragments.concat())]);
    }
    if offsets.len() != frames {
        return Err(damaged(format!(
            "{frames} frames cannot be told apart in {} fragments with {} offsets",
            fragments.len(),
            offsets.len()
        )));
    }
    let mut grouped = vec![Vec::new(); frames];
    // Offsets count from the first fragment's item, of whose header each takes 8 bytes.
    let mut at = 0_u64;
    for fragment in fragments {
        let frame = offsets.iter().rposition(|offset| u64::from(*offset) <= at).unwrap_or(0);
        if let Some(bytes) = grouped.get_mut(frame) {
            bytes.extend_from_slice(fragment);
        }
        at += fragment.len() as u64 + 8;
    }
    Ok(grouped.into_iter().map(Cow::Owned).collect())
}
