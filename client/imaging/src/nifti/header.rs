//! The header: NIfTI-1 by the `nifti` crate, which does not know NIfTI-2; that one by its offsets.

use std::io::Read;

use nifti::{Endianness, NiftiHeader, NiftiType};

use super::orientation::Affine;
use crate::error::Fault;
use crate::format::Format;

/// What is needed of either header.
pub(super) struct Header {
    /// Length of the header in bytes.
    pub(super) length: u64,
    /// Voxels along the first three axes.
    pub(super) shape: [usize; 3],
    /// Volumes: the product of all further axes.
    pub(super) times: usize,
    pub(super) datatype: NiftiType,
    pub(super) big_endian: bool,
    /// Where the voxels start, from the start of the file.
    pub(super) offset: u64,
    /// `scl_slope` and `scl_inter`; `None` where nothing is to be scaled.
    pub(super) rescale: Option<(f64, f64)>,
    /// `cal_min` and `cal_max`; `None` where they are no range.
    pub(super) display: Option<(f64, f64)>,
    /// From voxel indices to the patient; `None` where the header does not say.
    pub(super) affine: Option<Affine>,
}

/// `sizeof_hdr` of NIfTI-1 and NIfTI-2.
const SIZES: [usize; 2] = [348, 540];

impl Header {
    pub(super) fn read(source: &mut dyn Read) -> Result<Self, Fault> {
        let mut bytes = Vec::new();
        let broken = |error: std::io::Error| damaged(error.to_string());
        source.take(SIZES[0] as u64).read_to_end(&mut bytes).map_err(broken)?;
        let second = bytes.get(4..7).is_some_and(|magic| magic == b"n+2" || magic == b"ni2");
        let magic = bytes.get(if second { 4..8 } else { 344..348 });
        let pair = matches!(magic, Some(b"ni1\0" | b"ni2\0"));
        if pair {
            return Err(Fault::Unsupported {
                format: Format::Nifti,
                what: "its voxels in another file (.hdr and .img)".to_string(),
                advice: "convert the pair to one .nii file",
            });
        }
        if second {
            let more = (SIZES[1] - SIZES[0]) as u64;
            source.take(more).read_to_end(&mut bytes).map_err(broken)?;
        }
        let length = SIZES[usize::from(second)];
        if bytes.len() < length {
            let found = bytes.len();
            return Err(damaged(format!("expected a header of {length} bytes, found {found}")));
        }
        if second { Second::new(&bytes).header() } else { first(&bytes) }
    }

    /// Voxels of one volume, if they can be counted.
    pub(super) fn voxels(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side as u64))
    }
}

fn damaged(what: impl Into<String>) -> Fault {
    Fault::damaged(Format::Nifti, what)
}

/// A field of the header says what it may not.
fn misstated(what: impl Into<String>) -> Fault {
    Fault::value(Format::Nifti, what)
}

fn first(bytes: &[u8]) -> Result<Header, Fault> {
    let header = NiftiHeader::from_reader(bytes).map_err(|error| damaged(error.to_string()))?;
    // What is out of range, `nifti` takes for a number in the other byte order.
    let rank = header.dim[0];
    if !(1..=7).contains(&rank) {
        let found = if rank > 255 { rank.swap_bytes() } else { rank };
        return Err(axes(found));
    }
    let dims = header.dim.iter().skip(1).take(rank.into());
    let dims: Vec<i64> = dims.map(|side| i64::from(side.cast_signed())).collect();
    let datatype = nifti_type(header.datatype)?;
    bits(datatype, header.bitpix)?;
    let (shape, times) = shape(&dims, i32::from(header.intent_code))?;
    let pixdim = [0, 1, 2, 3].map(|index: usize| f64::from(header.pixdim[index]));
    let rows = [header.srow_x, header.srow_y, header.srow_z];
    let offsets = [header.quatern_x, header.quatern_y, header.quatern_z];
    Ok(Header {
        length: SIZES[0] as u64,
        shape,
        times,
        datatype,
        big_endian: header.endianness == Endianness::Big,
        offset: offset(f64::from(header.vox_offset), SIZES[0])?,
        rescale: rescale(f64::from(header.scl_slope), f64::from(header.scl_inter))?,
        display: display(f64::from(header.cal_min), f64::from(header.cal_max))?,
        affine: affine(
            (i32::from(header.sform_code), rows.map(|row| row.map(f64::from))),
            (
                i32::from(header.qform_code),
                [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
                offsets.map(f64::from),
            ),
            pixdim,
            shape,
        )?,
    })
}

/// The first three sides, and the product of the others.
fn shape(dims: &[i64], intent: i32) -> Result<([usize; 3], usize), Fault> {
    // NIFTI_INTENT_CONNECTIVITY_*: matrices over brain regions (CIFTI-2), not pictures.
    if (3000..3100).contains(&intent) {
        let what = "it holds a connectivity matrix (CIFTI)".to_string();
        return Err(Fault::NoImage { format: Format::Nifti, what });
    }
    if let Some((axis, side)) = (1..).zip(dims).find(|(_, side)| **side <= 0) {
        return Err(misstated(format!(
            "header field dim[{axis}]: expected at least 1 voxel, found {side}"
        )));
    }
    let side = |axis: usize| dims.get(axis).map_or(Ok(1), |side| usize::try_from(*side));
    let sides = [side(0), side(1), side(2)];
    let [Ok(x), Ok(y), Ok(z)] = sides else {
        return Err(misstated(
            "header fields dim[1] to dim[3]: expected sides that this machine can count",
        ));
    };
    let times = dims.iter().skip(3).try_fold(1_usize, |product, side| {
        usize::try_from(*side).ok().and_then(|side| product.checked_mul(side))
    });
    let beyond = "header fields dim[4] to dim[7]: expected volumes that can be counted, found more";
    Ok(([x, y, z], times.ok_or_else(|| misstated(beyond))?))
}

/// A slope of zero means that nothing is scaled (NIfTI-1 standard, `nifti1.h`).
fn rescale(slope: f64, inter: f64) -> Result<Option<(f64, f64)>, Fault> {
    let (slope, inter) = (finite("scl_slope", slope)?, finite("scl_inter", inter)?);
    Ok((slope != 0.0 && (slope, inter) != (1.0, 0.0)).then_some((slope, inter)))
}

/// The display range, if there is one: two equal numbers are none.
fn display(low: f64, high: f64) -> Result<Option<(f64, f64)>, Fault> {
    let (low, high) = (finite("cal_min", low)?, finite("cal_max", high)?);
    if low > high {
        return Err(misstated(format!(
            "header field cal_min: expected at most cal_max, which is {high}, found {low}"
        )));
    }
    Ok((low < high).then_some((low, high)))
}

/// Refuses a number of bits that is not the datatype's: one of the two is wrong.
fn bits(datatype: NiftiType, found: i16) -> Result<(), Fault> {
    let expected = 8 * datatype.size_of();
    if usize::try_from(found).is_ok_and(|found| found == expected) {
        return Ok(());
    }
    Err(misstated(format!(
        "header field bitpix: expected the {expected} bits of its datatype, {datatype:?}, found {found}"
    )))
}

fn finite(field: &str, value: f64) -> Result<f64, Fault> {
    let refuse = || misstated(format!("header field {field}: expected a number, found {value}"));
    value.is_finite().then_some(value).ok_or_else(refuse)
}

/// Where the voxels start. Zero is written by tools that mean "after the header and its four bytes
/// of extension flags".
fn offset(offset: f64, length: usize) -> Result<u64, Fault> {
    let least = length as f64;
    if offset == 0.0 {
        Ok(length as u64 + 4)
    } else if offset >= least && offset <= (1_u64 << 53) as f64 && offset.fract() == 0.0 {
        Ok(offset as u64)
    } else {
        Err(misstated(format!(
            "header field vox_offset: expected a whole number from {length}, found {offset}"
        )))
    }
}

/// `sform`, else `qform`, else none. A matrix or a quaternion of zeros, or one that holds what is no
/// number, says nothing, whatever its code. The sides of a voxel, `pixdim`, are used with a quaternion
/// alone.
///
/// # Errors
/// [`Fault::Value`] where a quaternion says how the axes run, and a side that it is scaled by is no
/// number: the voxels are placed, and nobody knows where.
fn affine(
    sform: (i32, [[f64; 4]; 3]),
    (code, quaternion, offset): (i32, [f64; 3], [f64; 3]),
    pixdim: [f64; 4],
    shape: [usize; 3],
) -> Result<Option<Affine>, Fault> {
    let stored = (sform.0 > 0).then(|| Affine::of_rows(sform.1));
    let stored = stored.and_then(|affine| affine.sound(shape));
    if stored.is_some() || code <= 0 {
        return Ok(stored);
    }
    if Affine::of_quaternion(quaternion, offset, [1.0; 4]).sound(shape).is_some() {
        for (index, side) in pixdim.into_iter().enumerate() {
            finite(&format!("pixdim[{index}]"), side)?;
        }
    }
    Ok(Affine::of_quaternion(quaternion, offset, pixdim).sound(shape))
}

/// A NIfTI-2 header, whose fields stand at the offsets of `nifti2.h` (nifti.nimh.nih.gov).
struct Second<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Second<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let big_endian = bytes.first().is_some_and(|byte| *byte == 0);
        Self { bytes, big_endian }
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        if let Some(bytes) = self.bytes.get(at..at + N) {
            field.copy_from_slice(bytes);
        }
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn short(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.field(at))
    }

    fn int(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.field(at))
    }

    fn long(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.field(at))
    }

    fn double(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.field(at))
    }

    fn header(&self) -> Result<Header, Fault> {
        let rank = usize::try_from(self.long(16)).ok().filter(|rank| (1..=7).contains(rank));
        let rank = rank.ok_or_else(|| axes(self.long(16)))?;
        let dims: Vec<i64> = (1..=rank).map(|axis| self.long(16 + 8 * axis)).collect();
        let (shape, times) = shape(&dims, self.int(504))?;
        let number = nifti_type(self.short(12))?;
        bits(number, self.short(14))?;
        let row = |at: usize| [0, 8, 16, 24].map(|step| self.double(at + step));
        let three = |at: usize| [0, 8, 16].map(|step| self.double(at + step));
        Ok(Header {
            length: SIZES[1] as u64,
            shape,
            times,
            datatype: number,
            big_endian: self.big_endian,
            offset: offset(self.long(168) as f64, SIZES[1])?,
            rescale: rescale(self.double(176), self.double(184))?,
            display: display(self.double(200), self.double(192))?,
            affine: affine(
                (self.int(348), [row(400), row(432), row(464)]),
                (self.int(344), three(352), three(376)),
                [104, 112, 120, 128].map(|at| self.double(at)),
                shape,
            )?,
        })
    }
}

/// The datatype of a code, by the crate's own table.
fn nifti_type(code: i16) -> Result<NiftiType, Fault> {
    let known = NiftiHeader { datatype: code, ..NiftiHeader::default() }.data_type().ok();
    known.ok_or_else(|| {
        misstated(format!("header field datatype: expected a code of NIfTI, found {code}"))
    })
}

fn axes(found: impl std::fmt::Display) -> Fault {
    misstated(format!("header field dim[0]: expected 1 to 7 axes, found {found}"))
}
