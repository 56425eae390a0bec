//! DICOM data sets in which an attribute stands twice, or where it does not belong.

use ringfence_imaging::{ReadOptions, decode};

use crate::make::{self, Dicom};

fn refused(bytes: &[u8], reason: &str) {
    let error = decode(bytes, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}, expected {reason}");
}

fn picture(syntax: &'static str) -> Dicom {
    let mut file = Dicom::new(syntax, 2, 2, (8, 8));
    file.text(0x0028, 0x1050, b"DS", "128")
        .text(0x0028, 0x1051, b"DS", "256")
        .octets(&[0, 1, 2, 3]);
    file
}

/// Readers take the first or the last: a picture would be black or white by the program.
#[test]
fn an_attribute_that_stands_twice_is_refused_in_every_encoding() {
    let photometric =
        "expected each attribute once, found PhotometricInterpretation (0028,0004) a second time";
    let center = "expected each attribute once, found WindowCenter (0028,1050) a second time";
    for syntax in [make::EXPLICIT, make::IMPLICIT, make::BIG_ENDIAN, make::DEFLATED] {
        let whole = picture(syntax);
        decode(&whole.bytes(), &ReadOptions::default()).unwrap();
        let twice = whole.clone().again(0x0028, 0x0004, b"CS", b"MONOCHROME1 ").bytes();
        refused(&twice, photometric);
        refused(&whole.clone().again(0x0028, 0x1050, b"DS", b"10").bytes(), center);
        // Also where both say the same: the file breaks the standard, and more may be wrong.
        refused(&whole.clone().again(0x0028, 0x1050, b"DS", b"128 ").bytes(), center);
    }
    refused(&picture(make::IMPLICIT).again(0x0028, 0x1050, b"DS", b"10").bare(), center);
    // Of encapsulated pixels.
    let mut encapsulated = Dicom::new(make::RLE, 2, 2, (8, 8));
    encapsulated.fragments(&[make::rle(&[vec![0, 1, 2, 3]])]);
    decode(&encapsulated.bytes(), &ReadOptions::default()).unwrap();
    refused(&encapsulated.again(0x0028, 0x0004, b"CS", b"MONOCHROME1 ").bytes(), photometric);
}

#[test]
fn an_attribute_that_stands_twice_in_an_item_is_refused() {
    let window = |item: &mut Dicom| {
        let mut groups = Dicom::item();
        item.decimals(0x0028, 0x1050, &[128.0]).decimals(0x0028, 0x1051, &[256.0]);
        groups.sequence(0x0028, 0x9132, std::slice::from_ref(item));
        let mut file = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
        file.octets(&[0, 1, 2, 3]).sequence(0x5200, 0x9229, &[groups]);
        file.bytes()
    };
    decode(&window(&mut Dicom::item()), &ReadOptions::default()).unwrap();
    let mut twice = Dicom::item();
    let bytes =
        window(twice.again(0x0028, 0x1052, b"DS", b"10").again(0x0028, 0x1052, b"DS", b"20"));
    refused(&bytes, "found RescaleIntercept (0028,1052) a second time");
}

#[test]
fn attributes_out_of_order_are_refused() {
    let late = |element: &[u8]| [picture(make::EXPLICIT).bytes(), element.to_vec()].concat();
    refused(
        &late(b"\x28\0\x04\0CS\x0c\0MONOCHROME1 "),
        "found PhotometricInterpretation (0028,0004) a second time",
    );
    refused(
        &late(b"\x28\0\x52\x10DS\x02\x0010"),
        "expected attributes by ascending tags, found RescaleIntercept (0028,1052) after PixelData \
         (7FE0,0010)",
    );
    // The file meta information: of two transfer syntaxes the last would be taken.
    let bytes = picture(make::EXPLICIT).bytes();
    let (before, rest) = bytes.split_at(132);
    let length = 8 + usize::from(rest[6]);
    refused(
        &[before, &rest[..length], rest].concat(),
        "found TransferSyntaxUID (0002,0010) a second time",
    );
}
