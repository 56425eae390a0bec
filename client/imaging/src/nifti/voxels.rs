//! Stored voxels to numbers.

use nifti::NiftiType;

use super::header::Header;
use crate::intensity::luma;

/// Bytes of a voxel, for the types that are read: all integers and floats of up to 64 bits, and
/// colour. Complex and 128-bit numbers have no grey value here.
pub(super) fn size(datatype: NiftiType) -> Option<usize> {
    use NiftiType as T;
    match datatype {
        T::Complex64 | T::Complex128 | T::Complex256 | T::Float128 => None,
        read => Some(read.size_of()),
    }
}

/// Bits a channel, and channels.
pub(super) fn bits(datatype: NiftiType) -> (u16, u16) {
    match datatype {
        NiftiType::Rgb24 => (8, 3),
        NiftiType::Rgba32 => (8, 4),
        other => (8 * u16::try_from(other.size_of()).unwrap_or(0), 1),
    }
}

/// The values of whole voxels, rescaled. Colour becomes grey and is not rescaled.
pub(super) fn values(raw: &[u8], header: &Header) -> Vec<f32> {
    numbers(raw, header, header.rescale)
}

/// The values of whole voxels, as they are stored.
pub(super) fn stored(raw: &[u8], header: &Header) -> Vec<f32> {
    numbers(raw, header, None)
}

fn numbers(raw: &[u8], header: &Header, rescale: Option<(f64, f64)>) -> Vec<f32> {
    macro_rules! numbers {
        ($number:ty) => {
            scaled(raw, rescale, |bytes| {
                if header.big_endian {
                    <$number>::from_be_bytes(bytes) as f64
                } else {
                    <$number>::from_le_bytes(bytes) as f64
                }
            })
        };
    }
    match header.datatype {
        NiftiType::Uint8 => numbers!(u8),
        NiftiType::Int8 => numbers!(i8),
        NiftiType::Uint16 => numbers!(u16),
        NiftiType::Int16 => numbers!(i16),
        NiftiType::Uint32 => numbers!(u32),
        NiftiType::Int32 => numbers!(i32),
        NiftiType::Uint64 => numbers!(u64),
        NiftiType::Int64 => numbers!(i64),
        NiftiType::Float32 => numbers!(f32),
        NiftiType::Float64 => numbers!(f64),
        NiftiType::Rgb24 => colours(raw.as_chunks::<3>().0.iter().copied()),
        NiftiType::Rgba32 => colours(
            raw.as_chunks::<4>().0.iter().map(|[red, green, blue, _]| [*red, *green, *blue]),
        ),
        // Refused before they are read, by `size`.
        NiftiType::Complex64
        | NiftiType::Complex128
        | NiftiType::Complex256
        | NiftiType::Float128 => Vec::new(),
    }
}

/// The channels of voxels in colour.
pub(super) fn channels(raw: &[u8], count: usize) -> Vec<Vec<f32>> {
    let channel = |first| raw.iter().skip(first).step_by(count).map(|byte| f32::from(*byte));
    (0..count).map(|first| channel(first).collect()).collect()
}

fn scaled<const N: usize>(
    raw: &[u8],
    rescale: Option<(f64, f64)>,
    number: impl Fn([u8; N]) -> f64,
) -> Vec<f32> {
    let numbers = raw.as_chunks::<N>().0.iter().map(|bytes| number(*bytes));
    match rescale {
        Some((slope, inter)) => numbers.map(|value| (value * slope + inter) as f32).collect(),
        None => numbers.map(|value| value as f32).collect(),
    }
}

fn colours(pixels: impl Iterator<Item = [u8; 3]>) -> Vec<f32> {
    pixels.map(|rgb| rgb.map(f64::from)).map(|[r, g, b]| luma(r, g, b) as f32).collect()
}
