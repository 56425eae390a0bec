//! NIfTI-1 and NIfTI-2 volumes in one file, plain or gzipped.

mod header;
mod members;
mod orientation;
mod voxels;

use std::io::{self, Read};

use crate::error::Fault;
use crate::format::Format;
use crate::geometry::{Geometry, Vector, scale};
use crate::intensity::{min_max, percentiles, to_unit};
use crate::mask::{Drawn, Meaning, single_channel};
use crate::options::{Axis, Channels, Intensity, Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};
use header::Header;
pub(crate) use members::Members;
use orientation::Affine;

/// Whether a NIfTI file is gzipped.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Reads the slices asked for of the volume asked for.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<Stack, Fault> {
    let mut source = inflated(bytes);
    let header = Header::read(&mut source)?;
    let raw = volume(&header, &mut source, options.slices.time, options.limits)?;
    finish(&header, &mut source, options.slices.time, options.limits)?;
    let channels = match options.channels {
        Channels::Grey => vec![voxels::values(&raw, &header)],
        Channels::Colour => {
            let count = usize::from(voxels::bits(header.datatype).1);
            if count < 3 {
                return Err(Fault::Grey { format: Format::Nifti });
            }
            voxels::channels(&raw, count).into_iter().take(3).collect()
        }
    };
    drop(raw);
    let cut = Cut::new(&header, directions(options.slices.axis.unwrap_or_default()));
    let chosen = options.slices.which.of(cut.slices)?;
    let values = (cut.width * cut.height * channels.len()) as u64;
    let most = options.limits.values;
    Fault::limit("values of the slices", most, values.saturating_mul(chosen.len() as u64))?;
    let plane = |index| {
        let values = channels.iter().flat_map(|values| cut.slice(values, index)).collect();
        Plane { index, values, instance: None, frame: 0 }
    };
    let mut planes: Vec<Plane> = chosen.into_iter().map(plane).collect();
    let range = match options.channels {
        Channels::Grey => {
            range(&header, channels.into_iter().next().unwrap_or_default(), options.intensity)
        }
        Channels::Colour => (options.intensity == Intensity::Auto).then_some(BITS),
    };
    let scale = match range {
        Some((low, high)) => {
            planes.iter_mut().for_each(|plane| to_unit(&mut plane.values, low, high));
            Scale::Unit { low, high }
        }
        None => Scale::Stored,
    };
    let (bits, channels) = voxels::bits(header.datatype);
    let info = Info {
        format: Format::Nifti,
        bits,
        channels,
        slices: cut.slices,
        transfer_syntax: None,
        scale,
    };
    let geometry = header.affine.map(|affine| cut.geometry(&affine));
    Ok(Stack { info, width: cut.width, height: cut.height, planes, geometry })
}

/// Reads a volume as a mask, cut along the directions of its image: across, down, and from slice to
/// slice.
pub(crate) fn mask(
    bytes: &[u8],
    directions: [Vector; 3],
    channel: Option<usize>,
    limits: Limits,
) -> Result<Drawn, Fault> {
    let mut source = inflated(bytes);
    let header = Header::read(&mut source)?;
    let colours = voxels::bits(header.datatype).1;
    if header.times > 1 && (channel.is_none() || colours > 1) {
        let found = format!("{} volumes", header.times);
        return Err(Fault::mask(
            "one channel",
            found,
            "choose one by --mask-channel, counted from 0",
        ));
    }
    let count = header.times;
    let time = channel.filter(|_| colours == 1).unwrap_or(0);
    if time >= count {
        return Err(Fault::Index { what: "mask channel", asked: time, count });
    }
    let raw = volume(&header, &mut source, time, limits)?;
    finish(&header, &mut source, time, limits)?;
    let values = if colours > 1 {
        single_channel(voxels::channels(&raw, usize::from(colours)), colours == 4, channel)?
    } else {
        voxels::stored(&raw, &header)
    };
    let cut = Cut::new(&header, directions);
    let slices = (0..cut.slices).map(|index| cut.slice(&values, index)).collect();
    let size = (cut.width, cut.height);
    let mut drawn = Drawn::plain(Format::Nifti, size, slices, Meaning::Levels);
    drawn.rescale = header.rescale.filter(|_| colours == 1);
    drawn.geometry = header.affine.map(|affine| cut.geometry(&affine));
    drawn.turned = [(cut.across, 0), (cut.down, 1)]
        .iter()
        .any(|(steps, axis)| steps.reversed || steps.axis != *axis);
    Ok(drawn)
}

/// The directions in which the slices across an axis are seen: across, down, and from slice to
/// slice.
pub(crate) fn directions(axis: Axis) -> [Vector; 3] {
    const LEFT: Vector = [1.0, 0.0, 0.0];
    const BACK: Vector = [0.0, 1.0, 0.0];
    const HEAD: Vector = [0.0, 0.0, 1.0];
    let against = |vector| scale(vector, -1.0);
    match axis {
        Axis::Axial => [LEFT, BACK, HEAD],
        Axis::Coronal => [LEFT, against(HEAD), against(BACK)],
        Axis::Sagittal => [BACK, against(HEAD), against(LEFT)],
    }
}

/// How many slices there are along an axis, by the header.
pub(crate) fn slices(bytes: &[u8], axis: Axis) -> Result<usize, Fault> {
    Ok(Cut::new(&Header::read(&mut inflated(bytes))?, directions(axis)).slices)
}

/// Black and white of colours, which have 8 bits a channel.
const BITS: (f64, f64) = (0.0, 255.0);

fn inflated(bytes: &[u8]) -> Box<dyn Read + '_> {
    if is_gzip(bytes) { Box::new(Members::new(bytes)) } else { Box::new(bytes) }
}

/// The range that becomes `[0, 1]`; `None` leaves the values as they are. A volume without any
/// number becomes black.
fn range(header: &Header, values: Vec<f32>, intensity: Intensity) -> Option<(f64, f64)> {
    let found = match intensity {
        Intensity::Stored => return None,
        Intensity::Window { center, width } => Some((center - width / 2.0, center + width / 2.0)),
        Intensity::MinMax => min_max(&values),
        Intensity::Percentiles { low, high } => percentiles(values, low, high),
        Intensity::Auto => header.display.or_else(|| percentiles(values, 0.5, 99.5)),
    };
    Some(found.unwrap_or((0.0, 0.0)))
}

/// The bytes of the voxels of one volume.
fn volume(
    header: &Header,
    mut source: &mut dyn Read,
    time: usize,
    limits: Limits,
) -> Result<Vec<u8>, Fault> {
    let (size, advice) = (voxels::size(header.datatype), "convert it to integers or floats");
    let Some(size) = size else {
        let what = format!("voxels of type {:?}", header.datatype);
        return Err(Fault::Unsupported { format: Format::Nifti, what, advice });
    };
    let count = header.voxels().filter(|count| *count <= limits.values);
    let Some(count) = count else {
        let found = header.voxels().unwrap_or(u64::MAX);
        return Err(Fault::TooLarge { what: "voxels of a volume", most: limits.values, found });
    };
    if time >= header.times {
        return Err(Fault::Index { what: "time", asked: time, count: header.times });
    }
    let bytes = count * size as u64;
    let before = header.offset.saturating_add((time as u64).saturating_mul(bytes));
    Fault::limit("bytes up to the end of the volume", limits.bytes, before.saturating_add(bytes))?;
    let broken = |error: io::Error| Fault::damaged(Format::Nifti, error.to_string());
    let skip = before.saturating_sub(header.length);
    let skipped = io::copy(&mut (&mut source).take(skip), &mut io::sink()).map_err(broken)?;
    let mut raw = Vec::new();
    source.take(bytes).read_to_end(&mut raw).map_err(broken)?;
    if skipped < skip || (raw.len() as u64) < bytes {
        let found = skipped + raw.len() as u64;
        let what = format!("expected {} bytes after the header, found {found}", skip + bytes);
        return Err(Fault::damaged(Format::Nifti, what));
    }
    Ok(raw)
}

/// Reads to the end, where gzip's checksum and length stand. What gzip holds may be in several
/// members, one continuing the other (RFC 1952, 2.2). After a volume come those of later times, and
/// nothing else: what follows may be another file's.
fn finish(
    header: &Header,
    source: &mut dyn Read,
    time: usize,
    limits: Limits,
) -> Result<(), Fault> {
    let refuse =
        |what: String| Fault::damaged(Format::Nifti, format!("after its voxels: expected {what}"));
    let most = limits.bytes;
    let rest = io::copy(&mut source.take(most.saturating_add(1)), &mut io::sink());
    let rest = rest.map_err(|error| {
        refuse(format!("the end of the gzip data or more of them, found neither: {error}"))
    })?;
    Fault::limit("bytes after the volume", most, rest)?;
    let size = voxels::size(header.datatype).unwrap_or(0) as u64;
    let later = header.times.saturating_sub(time + 1) as u64;
    let bytes = header.voxels().unwrap_or(0).saturating_mul(size).saturating_mul(later);
    match rest {
        rest if rest == bytes => Ok(()),
        rest if later == 0 => Err(refuse(format!("the end of the file, found {rest} bytes"))),
        rest => {
            let what = format!("{bytes} bytes of the volumes of later times, found {rest}");
            Err(refuse(what))
        }
    }
}

/// How a volume is cut: for each direction of a slice, and across it, how far apart neighbours
/// are in storage, where the first one is, and how many there are.
struct Cut {
    width: usize,
    height: usize,
    slices: usize,
    across: Steps,
    down: Steps,
    along: Steps,
}

#[derive(Clone, Copy)]
struct Steps {
    /// The stored axis.
    axis: usize,
    stride: usize,
    count: usize,
    reversed: bool,
}

impl Steps {
    /// Where an index stands along the stored axis.
    fn stored(self, index: usize) -> usize {
        if self.reversed { self.count - 1 - index } else { index }
    }

    fn at(self, index: usize) -> usize {
        self.stored(index) * self.stride
    }

    /// How far a step goes.
    fn step(self, affine: &Affine) -> Vector {
        let sign = if self.reversed { -1.0 } else { 1.0 };
        affine.steps.get(self.axis).map_or([0.0; 3], |step| scale(*step, sign))
    }
}

impl Cut {
    fn new(header: &Header, directions: [Vector; 3]) -> Self {
        let [nx, ny, nz] = header.shape;
        let strides = [1, nx, nx * ny];
        let affine = header.affine.unwrap_or(Affine::UNKNOWN);
        let [across, down, along] = affine.along(directions).map(|(axis, reversed)| Steps {
            axis,
            stride: strides[axis],
            count: [nx, ny, nz][axis],
            reversed,
        });
        Self { width: across.count, height: down.count, slices: along.count, across, down, along }
    }

    fn geometry(&self, affine: &Affine) -> Geometry {
        let origin = |slice: usize| {
            let mut voxel = [0; 3];
            for (steps, index) in [(self.across, 0), (self.down, 0), (self.along, slice)] {
                voxel[steps.axis] = steps.stored(index);
            }
            affine.at(voxel)
        };
        Geometry {
            width: self.width,
            height: self.height,
            across: self.across.step(affine),
            down: self.down.step(affine),
            origins: (0..self.slices).map(origin).collect(),
            frame_of_reference: None,
        }
    }

    fn slice(&self, values: &[f32], index: usize) -> Vec<f32> {
        let mut slice = Vec::with_capacity(self.width * self.height);
        for row in 0..self.height {
            let start = self.along.at(index) + self.down.at(row);
            let value = |column| values.get(start + self.across.at(column)).copied();
            slice.extend((0..self.width).map(|column| value(column).unwrap_or(0.0)));
        }
        slice
    }
}
