//! Makes slices of a DICOM series.

/// A slice of the series 1.5 at a height in mm: 2 x 2 pixels of 16 bits with this value, and no window.
pub(crate) fn slice(height: f64, value: u16) -> Vec<u8> {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let mut put = |group: u16, element: u16, kind: &[u8; 2], value: &[u8]| {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if kind == b"UI" { 0 } else { b' ' });
        }
        file.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        file.extend(kind);
        if kind == b"OW" {
            file.extend([0, 0]);
            file.extend((value.len() as u32).to_le_bytes());
        } else {
            file.extend((value.len() as u16).to_le_bytes());
        }
        file.extend(value);
    };
    let word = |value: u16| value.to_le_bytes();
    // Explicit VR Little Endian.
    put(0x0002, 0x0010, b"UI", b"1.2.840.10008.1.2.1");
    put(0x0008, 0x0060, b"CS", b"CT");
    put(0x0020, 0x000e, b"UI", b"1.5");
    put(0x0020, 0x0032, b"DS", format!("0\\0\\{height}").as_bytes());
    put(0x0020, 0x0037, b"DS", b"1\\0\\0\\0\\1\\0");
    put(0x0028, 0x0002, b"US", &word(1));
    put(0x0028, 0x0004, b"CS", b"MONOCHROME2");
    put(0x0028, 0x0010, b"US", &word(2));
    put(0x0028, 0x0011, b"US", &word(2));
    put(0x0028, 0x0030, b"DS", b"1\\1");
    put(0x0028, 0x0100, b"US", &word(16));
    put(0x0028, 0x0101, b"US", &word(16));
    put(0x0028, 0x0102, b"US", &word(15));
    put(0x0028, 0x0103, b"US", &word(0));
    put(0x7fe0, 0x0010, b"OW", &[word(value); 4].concat());
    file
}
