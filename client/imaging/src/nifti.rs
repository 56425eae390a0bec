//! NIfTI-1 and NIfTI-2 volumes in one file, plain or gzipped.

mod header;
mod orientation;
mod voxels;

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::error::Fault;
use crate::format::Format;
use crate::intensity::{min_max, percentiles, to_unit};
use crate::options::{Axis, Intensity, Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};
use header::Header;

/// Whether a NIfTI file is gzipped.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Reads the slices asked for of the volume asked for.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<Stack, Fault> {
    let mut source = inflated(bytes);
    let header = Header::read(&mut source)?;
    let values = volume(&header, &mut source, options.slices.time, options.limits)?;
    finish(&mut source, options.limits)?;
    let cut = Cut::new(&header, options.slices.axis);
    let chosen = options.slices.which.of(cut.slices)?;
    let pixels = (cut.width * cut.height) as u64;
    let most = options.limits.values;
    Fault::limit("values of the slices", most, pixels.saturating_mul(chosen.len() as u64))?;
    let mut planes: Vec<Plane> = chosen
        .into_iter()
        .map(|index| Plane { index, values: cut.slice(&values, index) })
        .collect();
    let scale = match range(&header, values, options.intensity) {
        Some((low, high)) => {
            planes.iter_mut().for_each(|plane| to_unit(&mut plane.values, low, high));
            Scale::Unit { low, high }
        }
        None => Scale::Stored,
    };
    let (bits, channels) = voxels::bits(header.datatype);
    Ok(Stack {
        info: Info {
            format: Format::Nifti,
            bits,
            channels,
            slices: cut.slices,
            transfer_syntax: None,
            scale,
        },
        width: cut.width,
        height: cut.height,
        planes,
    })
}

/// How many slices there are along an axis, by the header.
pub(crate) fn slices(bytes: &[u8], axis: Axis) -> Result<usize, Fault> {
    Ok(Cut::new(&Header::read(&mut inflated(bytes))?, axis).slices)
}

fn inflated(bytes: &[u8]) -> Box<dyn Read + '_> {
    if is_gzip(bytes) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
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

/// The voxels of one volume, as stored and rescaled.
fn volume(
    header: &Header,
    mut source: &mut dyn Read,
    time: usize,
    limits: Limits,
) -> Result<Vec<f32>, Fault> {
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
    Ok(voxels::values(&raw, header))
}

/// Reads to the end, where gzip's checksum and length stand. Another gzip member may follow
/// (RFC 1952, 2.2), and nothing else.
fn finish(source: &mut dyn Read, limits: Limits) -> Result<(), Fault> {
    let most = limits.bytes;
    let rest = io::copy(&mut source.take(most.saturating_add(1)), &mut io::sink());
    let rest =
        rest.map_err(|error| Fault::damaged(Format::Nifti, format!("after its voxels: {error}")))?;
    Fault::limit("bytes after the volume", most, rest)
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
    stride: usize,
    count: usize,
    reversed: bool,
}

impl Steps {
    fn at(self, index: usize) -> usize {
        let index = if self.reversed { self.count - 1 - index } else { index };
        index * self.stride
    }
}

impl Cut {
    fn new(header: &Header, axis: Axis) -> Self {
        let [nx, ny, nz] = header.shape;
        let strides = [1, nx, nx * ny];
        let axes = orientation::closest(&header.directions);
        // Towards the patient's right, front and top, as the header's coordinates grow.
        let [right, front, top] = axes.map(|(stored, reversed)| Steps {
            stride: strides[stored],
            count: [nx, ny, nz][stored],
            reversed,
        });
        let against = |steps: Steps| Steps { reversed: !steps.reversed, ..steps };
        let (across, down, along) = match axis {
            Axis::Axial => (right, front, top),
            Axis::Coronal => (right, top, front),
            Axis::Sagittal => (front, top, right),
        };
        // The patient's right stands at the left edge, and the front or the top at the upper one.
        let (across, down) = (against(across), against(down));
        Self { width: across.count, height: down.count, slices: along.count, across, down, along }
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
