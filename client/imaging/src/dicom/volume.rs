//! The slices of a DICOM file, or of a series of files.

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::Attributes;
use super::codec::Frames;
use super::file::{self, Syntax};
use super::grey::{self, Shades};
use super::samples::Samples;
use super::value::text;
use super::{colour, functional, placement, segmentation, series};
use crate::error::Fault;
use crate::format::Format;
use crate::geometry::Geometry;
use crate::intensity::{min_max, percentiles};
use crate::mask::{Drawn, MaskOptions};
use crate::options::{Channels, Intensity, Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};

/// A parsed file.
pub(super) struct File {
    pub(super) object: InMemDicomObject,
    pub(super) attributes: Attributes,
    pub(super) syntax: Syntax,
    /// SOP Instance UID.
    pub(super) instance: Option<String>,
    /// Where its frames lie.
    pub(super) geometry: Option<Geometry>,
}

impl File {
    pub(super) fn parse(bytes: &[u8], limits: Limits) -> Result<Self, Fault> {
        let (object, syntax) = file::parse(bytes, limits)?;
        let attributes = Attributes::read(&object)?;
        Fault::limit("pixels of a frame", limits.values, attributes.pixels() as u64)?;
        // A frame has at least one bit.
        let most = limits.values.min(8 * bytes.len() as u64);
        Fault::limit("frames", most, attributes.frames as u64)?;
        let geometry = placement::of_file(&object, &attributes)?;
        let instance = text(&object, tags::SOP_INSTANCE_UID)?;
        Ok(Self { object, attributes, syntax, instance, geometry })
    }

    /// Whether what its frames say by themselves fits together, before any is read.
    pub(super) fn check_frames(&self) -> Result<(), Fault> {
        functional::check(&self.object, self.attributes.frames)
    }
}

/// A slice: a frame of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    pub(super) file: usize,
    pub(super) frame: usize,
}

/// The slices of one file or of several, all of one size. There is at least one file.
pub(crate) struct Volume {
    pub(super) files: Vec<File>,
    pub(super) slices: Vec<Slice>,
}

impl Volume {
    /// The frames of a file, as they are stored.
    pub(crate) fn of_file(bytes: &[u8], limits: Limits) -> Result<Self, Fault> {
        let file = File::parse(bytes, limits)?;
        let slices = (0..file.attributes.frames).map(|frame| Slice { file: 0, frame }).collect();
        Ok(Self { files: vec![file], slices })
    }

    /// The files of a folder, by their positions.
    pub(crate) fn of_series(folder: &Path, limits: Limits) -> Result<Self, Fault> {
        series::read(folder, limits)
    }

    /// Whether it has values of its own, no colours.
    pub(crate) fn is_monochrome(&self) -> bool {
        self.files.iter().all(|file| file.attributes.is_monochrome())
    }

    /// Reads the slices asked for.
    pub(crate) fn read(&self, options: &ReadOptions) -> Result<Stack, Fault> {
        let Some(first) = self.files.first() else { return Err(Fault::Empty) };
        if text(&first.object, tags::SEGMENTATION_TYPE)?.is_some() {
            let what = "it is a segmentation, which is read as a mask".to_string();
            return Err(Fault::NoImage { format: Format::Dicom, what });
        }
        self.files.iter().try_for_each(File::check_frames)?;
        let chosen = options.slices.which.of(self.slices.len())?;
        let is_monochrome = self.is_monochrome();
        let whole = is_monochrome && self.needs_range(&chosen, options.intensity)?;
        let decoded = if whole { (0..self.slices.len()).collect() } else { chosen.clone() };
        let pixels = first.attributes.pixels() as u64;
        let values = pixels.saturating_mul(decoded.len().max(chosen.len()) as u64);
        let values = values.saturating_mul(options.channels.count() as u64);
        Fault::limit("values of all frames", options.limits.values, values)?;

        let stored = options.intensity == Intensity::Stored;
        let mut planes = self.decode(&decoded, |file, frame, samples| {
            let File { object, attributes, .. } = file;
            match (attributes.is_monochrome(), options.channels) {
                (true, Channels::Grey) => {
                    grey::modality(object, attributes, frame, samples, !stored)
                }
                (true, Channels::Colour) => Err(Fault::Grey { format: Format::Dicom }),
                (false, Channels::Grey) => colour::to_grey(object, attributes, samples, !stored),
                (false, Channels::Colour) => {
                    colour::to_colour(object, attributes, samples, !stored)
                }
            }
        })?;
        let found = whole.then(|| range(&planes, options.intensity));
        if whole {
            planes = chosen.iter().filter_map(|index| planes.get(*index).cloned()).collect();
        }
        let scale = if stored {
            Scale::Stored
        } else if is_monochrome {
            self.shade(&mut planes, options.intensity, found)?
        } else {
            Scale::Unit { low: 0.0, high: first.attributes.greatest() }
        };
        let info = Info {
            format: Format::Dicom,
            bits: first.attributes.bits_stored,
            channels: first.attributes.samples,
            slices: self.slices.len(),
            transfer_syntax: first.syntax.known(),
            scale,
        };
        let (width, height) = self.size();
        Ok(Stack { info, width, height, planes, geometry: self.geometry() })
    }

    /// Reads all slices as a mask.
    pub(crate) fn mask(&self, options: &MaskOptions, limits: Limits) -> Result<Drawn, Fault> {
        self.files.iter().try_for_each(File::check_frames)?;
        segmentation::read(self, options, limits)
    }

    pub(super) fn size(&self) -> (usize, usize) {
        let first = self.files.first().map(|file| (file.attributes.columns, file.attributes.rows));
        first.unwrap_or_default()
    }

    /// Where the slices lie, if all of them say so and lie side by side.
    pub(super) fn geometry(&self) -> Option<Geometry> {
        placement::joined(self.files.iter().map(|file| file.geometry.clone()))
    }

    /// Decodes slices, of whose samples `values` makes the values of a plane.
    pub(super) fn decode(
        &self,
        chosen: &[usize],
        values: impl Fn(&File, usize, &Samples) -> Result<Vec<f32>, Fault>,
    ) -> Result<Vec<Plane>, Fault> {
        let mut frames: Vec<Option<Frames<'_>>> = self.files.iter().map(|_| None).collect();
        let mut planes = Vec::with_capacity(chosen.len());
        for &index in chosen {
            let Some(slice) = self.slices.get(index) else { continue };
            let Some(file) = self.files.get(slice.file) else { continue };
            let Some(decoder) = frames.get_mut(slice.file) else { continue };
            let File { object, attributes, syntax, .. } = file;
            let decoder = match decoder {
                Some(decoder) => decoder,
                None => decoder.insert(Frames::new(object, attributes, syntax)?),
            };
            let samples = decoder.decode(slice.frame)?;
            let values = values(file, slice.frame, &samples)?;
            let instance = file.instance.clone();
            planes.push(Plane { index, values, instance, frame: slice.frame });
        }
        Ok(planes)
    }

    /// Whether the range of all slices is asked for, or has to be found.
    fn needs_range(&self, chosen: &[usize], intensity: Intensity) -> Result<bool, Fault> {
        match intensity {
            Intensity::MinMax | Intensity::Percentiles { .. } => return Ok(true),
            Intensity::Window { .. } | Intensity::Stored => return Ok(false),
            Intensity::Auto => {}
        }
        Ok(!chosen.is_empty() && self.own()?.is_none())
    }

    /// What the slices say of their shades, which is the same of all: one scale, so that a slice can
    /// be compared with its neighbours.
    fn own(&self) -> Result<Option<Shades>, Fault> {
        let mut first = None;
        for slice in &self.slices {
            let Some(file) = self.files.get(slice.file) else { continue };
            let own = Shades::own(&file.object, &file.attributes, slice.frame)?;
            let one = *first.get_or_insert(own);
            if one != own {
                let said =
                    |own: Option<Shades>| own.map_or_else(|| "none".to_owned(), Shades::said);
                let found = format!("{} of one slice, {} of another", said(one), said(own));
                let advice = "give one for all (--window)";
                return Err(Fault::volume("one window for all slices", found, advice));
            }
        }
        Ok(first.flatten())
    }

    /// Brings monochrome planes to `[0, 1]`. The scale is the first plane's.
    fn shade(
        &self,
        planes: &mut [Plane],
        intensity: Intensity,
        found: Option<(f64, f64)>,
    ) -> Result<Scale, Fault> {
        let mut first = None;
        for plane in planes {
            let slice = self.slices.get(plane.index);
            let file = slice.and_then(|slice| self.files.get(slice.file));
            let Some(File { object, attributes, .. }) = file else { continue };
            let shades = Shades::of(object, attributes, plane.frame, intensity, found)?;
            shades.apply(&mut plane.values, attributes.inverted());
            first.get_or_insert(shades.range());
        }
        let (low, high) = first.unwrap_or_default();
        Ok(Scale::Unit { low, high })
    }
}

/// How many frames a file has, by its attributes.
pub(crate) fn frames(bytes: &[u8], limits: Limits) -> Result<usize, Fault> {
    let (object, _) = file::parse(bytes, limits)?;
    Ok(Attributes::read(&object)?.frames)
}

/// The range of all slices, without what is padding. Zeros if all of it is.
fn range(planes: &[Plane], intensity: Intensity) -> (f64, f64) {
    let all = planes.iter().flat_map(|plane| &plane.values);
    let range = match intensity {
        Intensity::Percentiles { low, high } => percentiles(all.copied().collect(), low, high),
        _ => min_max(all),
    };
    range.unwrap_or_default()
}
