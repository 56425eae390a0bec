//! A folder of DICOM slices is a volume.

use std::path::Path;

use ringfence_imaging::{
    Heeded, Intensity, Limits, MaskOptions, ReadOptions, Scale, SliceOptions, Slices, Stack,
    heeded, read, slices, slices_apart,
};

use crate::make::{self, Dicom, Nifti};
use crate::masks::masked;

/// A slice at a height, of 2 x 2 pixels with this value.
fn slice(height: f64, value: u8) -> Dicom {
    let mut file = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    file.octets(&[value; 4]).text(0x0020, 0x000e, b"UI", "1.5");
    file.text(0x0008, 0x0018, b"UI", &format!("9.{value}")).text(0x0020, 0x0052, b"UI", "1.2.3");
    file.decimals(0x0020, 0x0032, &[-10.0, 20.0, height]).decimals(0x0028, 0x0030, &[0.5, 0.5]);
    file.decimals(0x0020, 0x0037, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    file
}

/// Writes slices whose names tell nothing of their order.
fn write(folder: &Path, files: &[Dicom]) {
    for (index, file) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("{}.dcm", index * 7 % 5)), file.bytes()).unwrap();
    }
}

fn stored(folder: &Path, which: Slices) -> Result<Stack, String> {
    let slices = SliceOptions { which, ..SliceOptions::default() };
    let options = ReadOptions { slices, intensity: Intensity::Stored, ..ReadOptions::default() };
    read(folder, &options).map_err(|error| error.to_string())
}

fn whole() -> [Dicom; 4] {
    [slice(7.5, 4), slice(0.0, 1), slice(5.02, 3), slice(2.5, 2)]
}

#[test]
fn slices_are_ordered_by_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &whole());
    std::fs::write(folder.path().join(".DS_Store"), "left by a system").unwrap();
    assert_eq!(slices(folder.path(), &ReadOptions::default()).unwrap(), 4);
    let heeds = Heeded { axis: false, slices: true, intensity: true };
    assert_eq!(heeded(folder.path(), &ReadOptions::default()).unwrap(), heeds);
    let stack = stored(folder.path(), Slices::All).unwrap();
    let values: Vec<f32> = stack.planes.iter().map(|plane| plane.values[0]).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(stack.info.slices, 4);
    assert_eq!(stack.planes[1].instance.as_deref(), Some("9.2"));
    let geometry = stack.geometry.unwrap();
    assert_eq!(geometry.origins[3], [-10.0, 20.0, 7.5]);
    let stack = stored(folder.path(), Slices::At(vec![3, 0])).unwrap();
    let values: Vec<f32> = stack.planes.iter().map(|plane| plane.values[0]).collect();
    assert_eq!(values, [4.0, 1.0]);
    let options = ReadOptions { intensity: Intensity::MinMax, ..ReadOptions::default() };
    let stack = read(folder.path(), &options).unwrap();
    assert_eq!(stack.info.scale, Scale::Unit { low: 1.0, high: 4.0 });
    assert_eq!(stack.planes[0].values, [0.0; 4]);
}

/// A folder of slices is told from a folder of pictures, so that slices are not read one by one.
#[test]
fn a_folder_with_two_slices_of_a_series_is_one_image() {
    let is_series = |files: &[Dicom]| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        std::fs::write(folder.path().join("notes"), "not a slice").unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        ringfence_imaging::is_series(folder.path(), Limits::default()).unwrap()
    };
    let of = |series: &str, mut file: Dicom| {
        file.text(0x0020, 0x000e, b"UI", series);
        file
    };
    let mut view = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    view.octets(&[5; 4]);
    let view = of("1.5", view);
    assert!(is_series(&whole()));
    assert!(is_series(&[slice(0.0, 1), view.clone(), slice(9.0, 2)]), "beside something else");
    assert!(!is_series(&[view.clone(), view]), "views lie nowhere");
    assert!(!is_series(&[slice(0.0, 1)]), "one slice is a file");
    assert!(!is_series(&[of("1.6", slice(0.0, 1)), slice(0.0, 2)]), "two series of one each");
    assert!(!is_series(&[]));

    // Slices of scanners are no views, wherever they lie: each would have a scale of its own.
    let scan = |class: &str, modality: &str, bits: (u16, u16)| {
        let mut file = Dicom::new(make::EXPLICIT, 2, 2, bits);
        file.text(0x0008, 0x0016, b"UI", class).text(0x0008, 0x0060, b"CS", modality);
        file.octets(&[5; 8][..usize::from(bits.0) / 2]);
        file
    };
    const CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
    const DX: &str = "1.2.840.10008.5.1.4.1.1.1.1";
    let deep = (16, 12);
    for (class, modality, bits, expected) in [
        (CT, "CT", deep, true),
        (CT, "CT", (8, 8), true),
        (MR, "", deep, true),
        ("", "PT", deep, true),
        (CAPTURE, "CT", deep, true),
        (CAPTURE, "CT", (8, 8), false),
        (DX, "DX", deep, false),
        ("", "CR", deep, false),
        ("", "US", (8, 8), false),
        (CAPTURE, "OT", deep, false),
    ] {
        let of = |series: &str| of(series, scan(class, modality, bits));
        assert_eq!(is_series(&[of("1.5"), of("1.5")]), expected, "{class} {modality} {bits:?}");
        assert!(!is_series(&[of("1.5"), of("1.6")]), "{class} {modality} {bits:?}");
    }
    // Without a series' UID what is left tells.
    let without = |patient: &str| {
        let mut file = scan(CT, "CT", deep);
        file.text(0x0010, 0x0020, b"LO", patient);
        file
    };
    assert!(is_series(&[without("p"), without("p")]) && is_series(&[without(""), without("")]));
    assert!(!is_series(&[without("p"), without("q")]));
    let mut placed = [slice(0.0, 1), slice(1.0, 2)];
    placed.iter_mut().for_each(|file| _ = file.text(0x0020, 0x000e, b"UI", ""));
    assert!(is_series(&placed));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[without("p"), without("p")]);
    let error = stored(folder.path(), Slices::All).unwrap_err();
    assert!(error.contains("put in order, found none in any of 2 files; export"), "{error}");
}

#[test]
fn a_mask_in_nifti_lies_on_the_slices_of_a_series() {
    let folder = tempfile::tempdir().unwrap();
    let series = folder.path().join("series");
    std::fs::create_dir(&series).unwrap();
    write(&series, &whole());
    // As converters write it: the axes of DICOM and NIfTI run against each other, rows are stored
    // from the back, and the first slice is at the top.
    let drawn = |index: usize| u8::from(index == 1 || index == 14);
    let mut mask = Nifti::counting(&[2, 2, 4], (2, 8), false, drawn);
    mask.rows = Some([[-0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, -2.5]]);
    mask.offset = [10.0, -20.5, 7.5];
    let path = folder.path().join("mask.nii.gz");
    std::fs::write(&path, make::gzip(&mask.bytes())).unwrap();
    let found = masked(&series, &path, &MaskOptions::default()).unwrap();
    let mut expected = vec![0.0; 16];
    // Voxel (0, 1, 3) is in the first row of the lowest slice, (1, 0, 0) in the last of the highest.
    (expected[0], expected[15]) = (1.0, 1.0);
    assert_eq!(found, expected);
    mask.offset = [10.0, -20.5, 6.0];
    std::fs::write(&path, mask.bytes()).unwrap();
    let error = masked(&series, &path, &MaskOptions::default()).unwrap_err();
    assert!(error.contains("where the image's do"), "{error}");
}

/// Else each slice would have a scale of its own.
#[test]
fn slices_of_different_windows_are_refused_unless_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = whole();
    for file in &mut files {
        file.decimals(0x0028, 0x1050, &[3.0]).decimals(0x0028, 0x1051, &[5.0]);
    }
    write(folder.path(), &files);
    let read = |options: &ReadOptions| read(folder.path(), options).map_err(|e| e.to_string());
    let stack = read(&ReadOptions::default()).unwrap();
    assert_eq!(stack.planes[0].values, [0.125; 4]);
    files[0].decimals(0x0028, 0x1050, &[-600.0]).decimals(0x0028, 0x1051, &[1500.0]);
    write(folder.path(), &files);
    // Also of the slices that have the same.
    let one = SliceOptions { which: Slices::At(vec![0]), ..SliceOptions::default() };
    for slices in [SliceOptions::default(), one] {
        let error = read(&ReadOptions { slices, ..ReadOptions::default() }).unwrap_err();
        let expected = "expected one window for all slices, found center 3 and width 5 of one \
                        slice, center -600 and width 1500 of another; give one for all (--window)";
        assert!(error.contains(expected), "{error}");
    }
    let window = Intensity::Window { center: 2.0, width: 4.0 };
    let stack = read(&ReadOptions { intensity: window, ..ReadOptions::default() }).unwrap();
    let values: Vec<f32> = stack.planes.iter().map(|plane| plane.values[0]).collect();
    assert_eq!(values, [0.25, 0.5, 0.75, 1.0]);
    // One of them has none.
    files[0].text(0x0028, 0x1050, b"DS", "3").text(0x0028, 0x1051, b"DS", "5");
    files[1] = slice(0.0, 1);
    write(folder.path(), &files);
    let error = read(&ReadOptions::default()).unwrap_err();
    assert!(error.contains("found 0 to 255 of one slice, center 3 and width 5"), "{error}");
}

#[test]
fn slices_of_one_series_that_are_read_one_by_one_are_told_where_they_are_not_scaled_alike() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Of 12 bits, which have no scale of their own.
    let deep = |height: f64, value: u16| {
        let mut file = slice(height, 1);
        file.word(0x0028, 0x0100, 16).word(0x0028, 0x0101, 12).word(0x0028, 0x0102, 11);
        file.words(&[value; 4]);
        file
    };
    let windowed = |height: f64, center: &str| {
        let mut file = deep(height, 7);
        file.text(0x0028, 0x1050, b"DS", center).text(0x0028, 0x1051, b"DS", "400");
        file
    };
    let found = |files: &[Dicom], options: &ReadOptions| {
        let names: Vec<_> = (0..files.len()).map(|index| at(&format!("{index}.dcm"))).collect();
        let written = names.iter().zip(files);
        written.for_each(|(name, file)| std::fs::write(name, file.bytes()).unwrap());
        let pair = slices_apart(names.iter().map(|name| name.as_path()), options);
        pair.map(|(one, other)| (one.to_path_buf(), other.to_path_buf()))
    };
    let usual = ReadOptions::default();
    let first = Some((at("0.dcm"), at("1.dcm")));
    assert_eq!(found(&[deep(0.0, 7), deep(2.5, 9)], &usual), first);
    let windows = ["40", "40", "50"].map(|center| windowed(0.0, center));
    assert_eq!(found(&windows, &usual), Some((at("0.dcm"), at("2.dcm"))));
    // Alike, of another series, with one window for all.
    assert_eq!(found(&windows[..2], &usual), None);
    assert_eq!(found(&whole(), &usual), None);
    let mut other = deep(2.5, 9);
    other.text(0x0020, 0x000e, b"UI", "1.6");
    assert_eq!(found(&[deep(0.0, 7), other], &usual), None);
    let window = Intensity::Window { center: 0.0, width: 9.0 };
    let window = ReadOptions { intensity: window, ..ReadOptions::default() };
    assert_eq!(found(&[deep(0.0, 7), deep(2.5, 9)], &window), None);
}

/// Whichever is read first: what differs from the most is what somebody has to look at.
#[test]
fn of_mixed_folders_the_files_that_differ_are_named() {
    let of = |files: &[(&str, Dicom)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, file) in files {
            std::fs::write(folder.path().join(name), file.bytes()).unwrap();
        }
        stored(folder.path(), Slices::All).unwrap_err()
    };
    let series = |height: u8, uid: &str| {
        let mut file = slice(f64::from(height), height);
        file.text(0x0020, 0x000e, b"UI", uid);
        file
    };
    let most = |file: &str| format!("which differs from 3 files ({file} for one) in SeriesInst");
    for (odd, first) in [("a", "b"), ("c", "a"), ("d", "a")] {
        let names = ["a", "b", "c", "d"].into_iter().zip(0..);
        let uid = |name: &str| if name == odd { "1.6" } else { "1.5" };
        let files: Vec<_> = names.map(|(name, height)| (name, series(height, uid(name)))).collect();
        let error = of(&files);
        assert!(error.contains(&format!("found {odd}, {}", most(first))), "{error}");
    }
    let error = of(&[("a", series(0, "1.5")), ("b", series(1, "1.6"))]);
    assert!(error.contains("found a and b, which differ in SeriesInstanceUID"), "{error}");

    // Views that lie nowhere, beside two slices: it is the slices that are in the wrong place.
    let mut view = Dicom::new(make::EXPLICIT, 2, 2, (8, 8));
    view.octets(&[5; 4]);
    let placed = [("s1", slice(0.0, 1)), ("s2", slice(1.0, 2))];
    let views = |count: usize| {
        ["v1", "v2", "v3", "v4", "v5"].map(|name| (name, view.clone()))[..count].to_vec()
    };
    let error = of(&[&placed[..], &views(5)].concat());
    assert!(error.contains("found them only in s1, s2, of 7 files; put the slices"), "{error}");
    let error = of(&[&placed[..], &views(1)].concat());
    assert!(error.contains("found none in v1, of 3 files; take out what is no slice"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    placed.iter().for_each(|(name, file)| {
        std::fs::write(folder.path().join(name), file.bytes()).unwrap();
    });
    let picture = make::picture(&image::GrayImage::new(2, 2).into(), image::ImageFormat::Png);
    for name in ["a.png", "b.png", "c.png", "d.png"] {
        std::fs::write(folder.path().join(name), &picture).unwrap();
    }
    let error = stored(folder.path(), Slices::All).unwrap_err();
    let expected = "found PNG beside them: a.png, b.png, c.png and 1 more, of 6 files; put the";
    assert!(error.contains(expected), "{error}");
}

/// What is done to one slice.
type Change<'a> = &'a dyn Fn(&mut Dicom);

#[test]
fn what_is_no_single_volume_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<Dicom>)| {
        let folder = tempfile::tempdir().unwrap();
        let mut files = whole().to_vec();
        change(&mut files);
        write(folder.path(), &files);
        stored(folder.path(), Slices::All).unwrap_err()
    };
    let gap = refused(&|files| files[0] = slice(12.5, 4));
    assert!(gap.contains("slices that are all (0.00, 0.00, 2.5") && gap.contains("0.dcm"), "{gap}");
    assert!(gap.contains("add the slices that are missing") && !gap.contains("decoded"), "{gap}");
    let twice = refused(&|files| files.push(slice(2.5, 9)));
    let expected =
        "expected one slice at each place, found 1.dcm and 3.dcm at the same place; keep one";
    assert!(twice.contains(expected), "{twice}");
    // All of them twice.
    let all = refused(&|files| {
        files.truncate(2);
        files.extend(files.clone());
    });
    assert!(all.contains("found 1.dcm and 2.dcm at the same place"), "{all}");
    let cases: [(Change<'_>, &str); 10] = [
        (&|file| _ = file.text(0x0008, 0x0060, b"CS", "MR"), "Modality"),
        (&|file| _ = file.text(0x0010, 0x0020, b"LO", "another"), "PatientID"),
        (&|file| _ = file.text(0x0020, 0x000e, b"UI", "1.6"), "SeriesInstanceUID"),
        (&|file| _ = file.text(0x0020, 0x0052, b"UI", "1.6"), "FrameOfReferenceUID"),
        (&|file| _ = file.decimals(0x0028, 0x0030, &[0.5, 0.6]), "PixelSpacing"),
        (
            &|file| _ = file.decimals(0x0020, 0x0037, &[0.0, 1.0, 0.0, -1.0, 0.0, 0.0]),
            "ImageOrientationPatient",
        ),
        (&|file| _ = file.word(0x0028, 0x0010, 1), "their size"),
        (&|file| _ = file.text(0x0028, 0x0004, b"CS", "MONOCHROME1"), "PhotometricInterpretation"),
        (&|file| _ = file.text(0x0020, 0x0032, b"DS", ""), "found none in 2.dcm, of 4 files"),
        (&|file| _ = file.text(0x0028, 0x0008, b"IS", "2").octets(&[0; 8]), "one frame a file"),
    ];
    for (change, reason) in cases {
        let error = refused(&|files| change(&mut files[1]));
        assert!(error.contains(reason), "{error}, expected {reason}");
        // They are sound files.
        assert!(!error.contains("decoded") && !error.contains("fetch"), "{error}");
    }
    let moved = refused(&|files| _ = files[1].decimals(0x0020, 0x0032, &[-12.0, 20.0, 0.0]));
    assert!(moved.contains("mm apart"), "{moved}");
    let folder = tempfile::tempdir().unwrap();
    assert!(stored(folder.path(), Slices::All).unwrap_err().contains("empty"));
    write(folder.path(), &whole());
    std::fs::write(folder.path().join("notes.txt"), "not a slice").unwrap();
    let error = stored(folder.path(), Slices::All).unwrap_err();
    assert!(error.contains("its slice notes.txt: expected DICOM slices only"), "{error}");
    std::fs::remove_file(folder.path().join("notes.txt")).unwrap();
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = stored(folder.path(), Slices::All).unwrap_err();
        assert!(error.contains("its slice pipe: expected a file, found a pipe"), "{error}");
        assert!(read(&pipe, &ReadOptions::default()).is_err());
        std::fs::remove_file(pipe).unwrap();
    }
    let limits = Limits { bytes: 600, ..Limits::default() };
    let error = read(folder.path(), &ReadOptions { limits, ..ReadOptions::default() });
    assert!(error.unwrap_err().to_string().contains("bytes of the series"));
}
