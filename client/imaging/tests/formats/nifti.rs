//! NIfTI-1 and NIfTI-2.

use ringfence_imaging::{
    Axis, Channels, Fault, Format, Intensity, Limits, ReadOptions, Scale, SliceOptions, Slices,
    Stack, decode,
};

use crate::make::{self, Nifti, Ordered};

const UINT8: (i16, i16) = (2, 8);
const INT16: (i16, i16) = (4, 16);

fn stored(axis: Axis) -> ReadOptions {
    let slices = SliceOptions { axis: Some(axis), ..SliceOptions::default() };
    ReadOptions { slices, intensity: Intensity::Stored, ..ReadOptions::default() }
}

/// Values of a plane as whole numbers.
fn plane(stack: &Stack, index: usize) -> Vec<i64> {
    stack.planes[index].values.iter().map(|value| *value as i64).collect()
}

#[test]
fn each_datatype_reads_in_either_byte_order_and_version() {
    fn check<T: Ordered>(datatype: (i16, i16), number: impl Fn(usize) -> T) {
        for (big, second) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut file = Nifti::counting(&[3, 2, 2], datatype, big, &number);
            file.second = second;
            let bytes = file.bytes();
            for bytes in [make::gzip(&bytes), bytes] {
                let stack = decode(&bytes, &stored(Axis::Axial)).unwrap();
                assert_eq!((stack.width, stack.height, stack.planes.len()), (3, 2, 2));
                assert_eq!((stack.info.bits, stack.info.slices), (datatype.1 as u16, 2));
                assert_eq!(plane(&stack, 1), [11, 10, 9, 8, 7, 6], "{datatype:?} {big} {second}");
            }
        }
    }
    check(UINT8, |index| index as u8);
    check((256, 8), |index| index as i8);
    check(INT16, |index| index as i16);
    check((512, 16), |index| index as u16);
    check((8, 32), |index| index as i32);
    check((768, 32), |index| index as u32);
    check((1024, 64), |index| index as i64);
    check((1280, 64), |index| index as u64);
    check((16, 32), |index| index as f32);
    check((64, 64), |index| index as f64);
}

#[test]
fn colour_becomes_grey() {
    let voxels = vec![200, 0, 0, 0, 100, 0];
    let file = Nifti {
        voxels,
        datatype: (128, 24),
        ..Nifti::counting(&[2, 1, 1], UINT8, false, |_| 0_u8)
    };
    let stack = decode(&file.bytes(), &stored(Axis::Axial)).unwrap();
    assert_eq!(stack.planes[0].values, [71.52, 42.52]);
    // The patient's left comes last, in each channel.
    let colour = ReadOptions { channels: Channels::Colour, ..ReadOptions::default() };
    let stack = decode(&file.bytes(), &colour).unwrap();
    let (red, green) = (200.0 / 255.0, 100.0 / 255.0);
    assert_eq!(stack.planes[0].values, [0.0, red, green, 0.0, 0.0, 0.0]);
    let grey = Nifti::counting(&[2, 1, 1], UINT8, false, |_| 0_u8);
    let error = decode(&grey.bytes(), &colour).unwrap_err();
    assert!(matches!(error, Fault::Grey { format: Format::Nifti }), "{error}");
}

#[test]
fn slices_are_cut_across_the_anatomical_axis() {
    // Voxel (x, y, z) has the value x + 2 y + 6 z.
    let mut file = Nifti::counting(&[2, 3, 4], UINT8, false, |index| index as u8);
    let axial = decode(&file.bytes(), &stored(Axis::Axial)).unwrap();
    assert_eq!((axial.width, axial.height, axial.planes.len()), (2, 3, 4));
    // The right and the front come first.
    assert_eq!(plane(&axial, 0), [5, 4, 3, 2, 1, 0]);
    assert_eq!(plane(&axial, 3), [23, 22, 21, 20, 19, 18]);
    let coronal = decode(&file.bytes(), &stored(Axis::Coronal)).unwrap();
    assert_eq!((coronal.width, coronal.height, coronal.planes.len()), (2, 4, 3));
    assert_eq!(plane(&coronal, 0), [19, 18, 13, 12, 7, 6, 1, 0]);
    let sagittal = decode(&file.bytes(), &stored(Axis::Sagittal)).unwrap();
    assert_eq!((sagittal.width, sagittal.height, sagittal.planes.len()), (3, 4, 2));
    assert_eq!(plane(&sagittal, 1), [23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1]);
    // Stored right to left, front to back: as the slices are seen.
    file.rows = Some([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]);
    let axial = decode(&file.bytes(), &stored(Axis::Axial)).unwrap();
    assert_eq!(plane(&axial, 0), [0, 1, 2, 3, 4, 5]);
    // The first stored axis runs from bottom to top.
    file.rows = Some([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    let axial = decode(&file.bytes(), &stored(Axis::Axial)).unwrap();
    assert_eq!((axial.width, axial.height, axial.planes.len()), (3, 4, 2));
    assert_eq!(plane(&axial, 1), [23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1]);
}

#[test]
fn slices_and_times_are_chosen() {
    let file = Nifti::counting(&[2, 2, 5, 2], UINT8, false, |index| index as u8).bytes();
    let chosen = |which, time| {
        let slices = SliceOptions { which, time, axis: None };
        let options =
            ReadOptions { slices, intensity: Intensity::Stored, ..ReadOptions::default() };
        decode(&file, &options).map(|stack| {
            let planes = stack.planes.iter();
            planes.map(|plane| (plane.index, plane.values[3])).collect::<Vec<_>>()
        })
    };
    assert_eq!(chosen(Slices::Every(2), 0).unwrap(), [(0, 0.0), (2, 8.0), (4, 16.0)]);
    assert_eq!(chosen(Slices::At(vec![4, 1]), 1).unwrap(), [(4, 36.0), (1, 24.0)]);
    let error = chosen(Slices::At(vec![5]), 0).unwrap_err();
    assert!(matches!(error, Fault::Index { what: "slice", asked: 5, count: 5 }), "{error}");
    let error = chosen(Slices::All, 2).unwrap_err();
    assert!(matches!(error, Fault::Index { what: "time", asked: 2, count: 2 }), "{error}");
    assert!(matches!(chosen(Slices::Every(0), 0).unwrap_err(), Fault::Option { .. }));
}

#[test]
fn values_are_rescaled_and_shaded() {
    let mut file = Nifti::counting(&[101, 1, 1], INT16, true, |index| index as i16);
    file.rescale = (2.0, -100.0);
    let read = |file: &Nifti, intensity| {
        let options = ReadOptions { intensity, ..ReadOptions::default() };
        let stack = decode(&file.bytes(), &options).unwrap();
        let mut values = stack.planes[0].values.clone();
        values.reverse();
        (values, stack.info.scale)
    };
    let (values, scale) = read(&file, Intensity::Stored);
    assert_eq!((values[0], values[100], scale), (-100.0, 100.0, Scale::Stored));
    let (values, scale) = read(&file, Intensity::Window { center: 0.0, width: 40.0 });
    assert_eq!(scale, Scale::Unit { low: -20.0, high: 20.0 });
    assert_eq!([values[0], values[40], values[45], values[60]], [0.0, 0.0, 0.25, 1.0]);
    let (values, _) = read(&file, Intensity::MinMax);
    assert_eq!([values[0], values[50], values[100]], [0.0, 0.5, 1.0]);
    let (_, scale) = read(&file, Intensity::Percentiles { low: 10.0, high: 90.0 });
    assert_eq!(scale, Scale::Unit { low: -80.0, high: 80.0 });
    let (_, scale) = read(&file, Intensity::Auto);
    assert_eq!(scale, Scale::Unit { low: -99.0, high: 99.0 });
    file.display = (-10.0, 30.0);
    let (_, scale) = read(&file, Intensity::Auto);
    assert_eq!(scale, Scale::Unit { low: -10.0, high: 30.0 });
    for (center, width) in [(0.0, 0.0), (f64::NAN, 1.0)] {
        let intensity = Intensity::Window { center, width };
        let options = ReadOptions { intensity, ..ReadOptions::default() };
        assert!(matches!(decode(&file.bytes(), &options).unwrap_err(), Fault::Option { .. }));
    }
}

#[test]
fn header_fields_that_are_no_numbers_are_refused_by_name() {
    for second in [false, true] {
        let file = || Nifti { second, ..whole_again() };
        let cases = [
            (Nifti { rescale: (f32::NAN, 0.0), ..file() }, "scl_slope"),
            (Nifti { rescale: (f32::INFINITY, 0.0), ..file() }, "scl_slope"),
            (Nifti { rescale: (2.0, f32::NAN), ..file() }, "scl_inter"),
            (Nifti { display: (f32::NAN, 1.0), ..file() }, "cal_min"),
            (Nifti { display: (0.0, f32::INFINITY), ..file() }, "cal_max"),
            (Nifti { display: (100.0, 50.0), ..file() }, "cal_min"),
            (Nifti { datatype: (4, 8), ..file() }, "bitpix"),
            (Nifti { datatype: (4, 0), ..file() }, "bitpix"),
        ];
        for (file, field) in cases {
            let error = decode(&file.bytes(), &ReadOptions::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("header field {field}: expected")), "{error}");
        }
    }
    let mut bytes = whole_again().bytes();
    bytes[108..112].copy_from_slice(&352.5_f32.to_le_bytes());
    let error = decode(&bytes, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("header field vox_offset"), "{error}");
}

/// A quaternion says how the axes run, and the sides of a voxel how far: without them nobody knows where
/// the voxels lie, and the image would be shown as if it said nothing.
#[test]
fn sides_of_voxels_that_are_no_numbers_are_refused_where_they_are_used() {
    for second in [false, true] {
        // A quarter turn about the long axis.
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let of = |quaternion: [f32; 3], sides: [f32; 4], rows: Option<[[f32; 3]; 3]>| {
            let mut bytes = Nifti { second, rows, ..whole_again() }.bytes();
            let mut put = |at: usize, value: f32| match second {
                true => bytes[at..at + 8].copy_from_slice(&f64::from(value).to_le_bytes()),
                false => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
            };
            let (width, pixdim, quatern) = if second { (8, 104, 352) } else { (4, 76, 256) };
            (0..).zip(sides).for_each(|(at, side)| put(pixdim + width * at, side));
            (0..).zip(quaternion).for_each(|(at, part)| put(quatern + width * at, part));
            bytes[if second { 344 } else { 252 }] = 1;
            decode(&bytes, &ReadOptions::default()).map_err(|error| error.to_string())
        };
        let turned = [0.0, 0.0, half];
        let sides = [1.0, 2.0, 3.0, 4.0];
        assert!(of(turned, sides, None).unwrap().geometry.is_some());
        for index in 0..4 {
            for value in [f32::NAN, f32::INFINITY] {
                let mut broken = sides;
                broken[index] = value;
                let error = of(turned, broken, None).unwrap_err();
                let expected = format!("header field pixdim[{index}]: expected a number, found");
                assert!(error.contains(&expected), "{error}");
                // Of no use: the matrix says all, or the quaternion nothing.
                let rows = Some([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]);
                assert!(of(turned, broken, rows).unwrap().geometry.is_some());
                assert_eq!(of([f32::NAN; 3], broken, None).unwrap().geometry, None);
            }
        }
        // Zeros place nothing.
        assert_eq!(of(turned, [0.0; 4], None).unwrap().geometry, None);
        assert_eq!(of([f32::NAN; 3], sides, None).unwrap().geometry, None);
    }
}

#[test]
fn what_is_damaged_or_too_large_is_refused() {
    let whole = Nifti::counting(&[4, 4, 4], INT16, false, |index| index as i16);
    let refused = |bytes: &[u8], limits: Limits| {
        decode(bytes, &ReadOptions { limits, ..ReadOptions::default() }).unwrap_err().to_string()
    };
    let bytes = whole.bytes();
    let error = refused(&bytes[..bytes.len() - 1], Limits::default());
    assert!(error.contains("expected 132 bytes after the header, found 131"), "{error}");
    let zipped = make::gzip(&bytes);
    refused(&zipped[..zipped.len() / 2], Limits::default());
    let error = refused(&bytes, Limits { values: 63, ..Limits::default() });
    assert!(error.contains("at most 63, found 64"), "{error}");
    // A bomb: a few kilobytes that claim and hold 64 MB.
    let bomb = Nifti { dims: vec![4096, 4096, 4], voxels: Vec::new(), ..whole };
    let mut header = bomb.bytes();
    header.resize(header.len() + (1 << 20), 0);
    let error = refused(&make::gzip(&header), Limits { bytes: 1 << 24, ..Limits::default() });
    assert!(error.contains("at most 16777216"), "{error}");
    let mut pair = whole_again().bytes();
    pair[344..348].copy_from_slice(b"ni1\0");
    assert!(refused(&pair, Limits::default()).contains(".hdr and .img"));
    let complex = Nifti { datatype: (32, 64), ..whole_again() };
    assert!(refused(&complex.bytes(), Limits::default()).contains("Complex64"));
    for big in [false, true] {
        let mut axes = Nifti { big, ..whole_again() }.bytes();
        axes[40..42].copy_from_slice(&8_u16.ordered(big));
        let error = refused(&axes, Limits::default());
        assert!(error.contains("dim[0]: expected 1 to 7 axes, found 8"), "{error}");
    }
    for second in [false, true] {
        // The field at fault, and not its neighbour.
        for (dims, expected) in [
            (vec![4, 0, 4], "header field dim[2]: expected at least 1 voxel, found 0"),
            (vec![4, 4, 5, 0], "header field dim[4]: expected at least 1 voxel, found 0"),
        ] {
            let error =
                refused(&Nifti { dims, second, ..whole_again() }.bytes(), Limits::default());
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("export the file anew or correct that in a copy"), "{error}");
        }
        let unknown = Nifti { datatype: (99, 16), second, ..whole_again() };
        let error = refused(&unknown.bytes(), Limits::default());
        let expected = "header field datatype: expected a code of NIfTI, found 99";
        assert!(error.contains(expected), "{error}");
    }
}

fn whole_again() -> Nifti {
    Nifti::counting(&[4, 4, 4], INT16, false, |index| index as i16)
}
