//! RLE Lossless (PS3.5, annex G): PackBits by byte planes.

/// Decodes one frame of `planes` byte planes, each `length` long.
///
/// # Errors
/// What is wrong with the fragment.
pub(super) fn decode(
    fragment: &[u8],
    planes: usize,
    length: usize,
) -> Result<Vec<Vec<u8>>, String> {
    // Sixteen 32-bit words: how many segments, and where each starts.
    let word = |index: usize| {
        let bytes = fragment.get(4 * index..4 * index + 4)?;
        <[u8; 4]>::try_from(bytes).ok().map(|bytes| u32::from_le_bytes(bytes) as usize)
    };
    let count = word(0).ok_or("expected an RLE header of 64 bytes, found fewer")?;
    if count != planes || planes > 15 {
        return Err(format!("expected {planes} RLE segments, found {count}"));
    }
    let mut decoded = Vec::with_capacity(planes);
    for index in 1..=planes {
        let start = word(index).unwrap_or(usize::MAX);
        let end = if index == planes { fragment.len() } else { word(index + 1).unwrap_or(0) };
        let Some(segment) = fragment.get(start..end) else {
            return Err(format!("RLE segment {index} is outside the fragment"));
        };
        let plane = unpack(segment, length);
        if plane.len() < length {
            let found = plane.len();
            return Err(format!("RLE segment {index} holds {found} bytes, expected {length}"));
        }
        decoded.push(plane);
    }
    Ok(decoded)
}

/// Unpacks at most `length` bytes.
fn unpack(mut segment: &[u8], length: usize) -> Vec<u8> {
    let mut plane = Vec::with_capacity(length);
    while let (Some((&control, rest)), true) = (segment.split_first(), plane.len() < length) {
        let room = length - plane.len();
        let count = usize::from(control);
        segment = rest;
        if count < 128 {
            let (literal, rest) = segment.split_at((count + 1).min(segment.len()));
            plane.extend_from_slice(&literal[..literal.len().min(room)]);
            segment = rest;
        } else if let (129.., Some((&byte, rest))) = (count, segment.split_first()) {
            plane.resize(plane.len() + (257 - count).min(room), byte);
            segment = rest;
        }
    }
    plane
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_tiff_specification_unpacks() {
        let packed = [
            0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7,
            0xaa,
        ];
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(unpack(&packed, 24), expected);
        assert_eq!(unpack(&packed, 5), expected[..5]);
        assert_eq!(unpack(&[0x80, 0x80, 0x00, 7], 9), [7]);
    }

    #[test]
    fn damaged_fragments_are_refused() {
        let mut fragment = vec![0; 64];
        fragment[0] = 1;
        fragment[4] = 64;
        fragment.extend([0xfe, 9]);
        assert_eq!(decode(&fragment, 1, 3).unwrap(), [[9, 9, 9]]);
        assert!(decode(&fragment, 1, 4).unwrap_err().contains("holds 3 bytes"));
        assert!(decode(&fragment, 2, 3).unwrap_err().contains("found 1"));
        assert!(decode(&fragment[..3], 1, 3).is_err());
        fragment[4] = 200;
        assert!(decode(&fragment, 1, 3).unwrap_err().contains("outside"));
    }
}
