//! Folders that name volumes: NIfTI files as images and masks, slice by slice.

use std::fs;
use std::path::Path;

use ringfence_imaging::{Axis, Intensity, SliceOptions, Slices};
use ringfence_learning::data::{self, DataOptions, MaskOptions, ReadOptions, SiteData};

/// Writes a NIfTI-1 file of `16 * 16 * slices` bytes, `value(slice)` everywhere in a slice.
fn volume(path: &Path, slices: u16, value: impl Fn(u16) -> u8) {
    let mut file = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    put(344, b"n+1\0");
    for (index, side) in [3, 16, 16, slices].into_iter().enumerate() {
        put(40 + 2 * index, &side.to_le_bytes());
    }
    // Unsigned bytes, after the header.
    put(70, &2_i16.to_le_bytes());
    put(72, &8_i16.to_le_bytes());
    put(108, &352_f32.to_le_bytes());
    file.extend((0..slices).flat_map(|slice| [value(slice); 256]));
    fs::write(path, file).unwrap();
}

/// Five volumes of four slices with masks, and the table.
fn folder(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        volume(&folder.path().join(format!("{number}.nii")), 4, |slice| slice as u8 * 60);
        // The label 2 in the last two slices.
        let mask = folder.path().join(format!("m{number}.nii"));
        volume(&mask, 4, |slice| if slice < 2 { 0 } else { 2 });
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    folder
}

fn options(which: Slices) -> DataOptions {
    let slices = SliceOptions { which, ..SliceOptions::default() };
    let intensity = Intensity::Window { center: 127.5, width: 255.0 };
    let imaging = ReadOptions { slices, intensity, ..ReadOptions::default() };
    DataOptions { side: 16, sites: Some(1), imaging, ..DataOptions::default() }
}

fn samples(site: &SiteData) -> Vec<(&str, &str, f32, f32)> {
    let sample = |sample: &'_ data::Sample| sample.mask.as_ref().map_or(-1.0, |mask| mask[0]);
    site.samples()
        .map(|(_, s)| (s.name.as_str(), s.group.as_str(), s.image[0], sample(s)))
        .collect()
}

/// A single slice in DICOM, of 12 bits without a window, in a series.
fn single(path: &Path, value: u16) {
    let mut file = [vec![0; 128], b"DICM".to_vec()].concat();
    let mut put = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
        file.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        file.extend(vr);
        match vr {
            b"OW" => file.extend([&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat()),
            _ => file.extend((value.len() as u16).to_le_bytes()),
        }
        file.extend(value);
    };
    put(0x0002, 0x0010, b"UI", b"1.2.840.10008.1.2.1\0");
    put(0x0008, 0x0060, b"CS", b"CT");
    put(0x0020, 0x000e, b"UI", b"1.5\0");
    put(0x0028, 0x0002, b"US", &1_u16.to_le_bytes());
    put(0x0028, 0x0004, b"CS", b"MONOCHROME2 ");
    for (element, value) in
        [(0x0010, 16_u16), (0x0011, 16), (0x0100, 16), (0x0101, 12), (0x0102, 11), (0x0103, 0)]
    {
        put(0x0028, element, b"US", &value.to_le_bytes());
    }
    let pixels: Vec<u8> = (0..256).flat_map(|pixel: u16| (value + pixel).to_le_bytes()).collect();
    put(0x7fe0, 0x0010, b"OW", &pixels);
    fs::write(path, file).unwrap();
}

#[test]
fn slices_of_a_series_that_lines_name_one_by_one_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "file,mask,site,patient\n".to_string();
    image::GrayImage::new(16, 16).save(folder.path().join("m.png")).unwrap();
    for number in 0..6 {
        single(&folder.path().join(format!("{number}.dcm")), 100 * number);
        table += &format!("{number}.dcm,m.png,a,p{number}\n");
    }
    fs::write(folder.path().join("labels.csv"), table).unwrap();
    let DataOptions { imaging, .. } = options(Slices::All);
    let plain = DataOptions { imaging: ReadOptions::default(), ..options(Slices::All) };
    let told = data::load(folder.path(), &plain).unwrap().remarks;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("0.dcm and ") && told[0].contains("1.dcm are slices of one series"));
    // One window is one scale.
    let data = data::load(folder.path(), &DataOptions { imaging, ..plain }).unwrap();
    assert!(data.remarks.is_empty(), "{:?}", data.remarks);
}

/// One slice under two spellings is one image in two rows, whatever the rows say of it.
#[test]
fn a_folder_of_slices_and_one_of_its_files_are_one_image() {
    let folder = tempfile::tempdir().unwrap();
    for series in ["s0", "s1", "s2"] {
        fs::create_dir(folder.path().join(series)).unwrap();
        for slice in 0..3 {
            fs::write(folder.path().join(format!("{series}/{slice}.dcm")), "a slice").unwrap();
        }
    }
    fs::hard_link(folder.path().join("s1/1.dcm"), folder.path().join("s2/linked.dcm")).unwrap();
    let refused = |table: &str| {
        fs::write(folder.path().join("labels.csv"), table).unwrap();
        data::load(folder.path(), &options(Slices::All)).unwrap_err().to_string()
    };
    for (one, other, differs) in [
        ("s0,0,a,train", "s0/1.dcm,1,a,train", " with two labels"),
        ("s0/../s0/2.dcm,0,a,test", "s0,0,a,train", " in two splits"),
        ("s1,0,a,train", "s2,0,b,train", " at two sites"),
    ] {
        let error = refused(&format!("file,label,site,split\n{one}\n{other}\n"));
        let [first, second] = [one, other].map(|row| row.split_once(',').unwrap().0);
        let said = format!("`{first}` in line 2 and `{second}` in line 3 are one image{differs}");
        assert!(error.contains(&said), "{error}");
    }
    let error = refused("file,mask\ns0,s0/1.dcm\n");
    assert!(error.contains("line 2: expected a picture of what is to be segmented"), "{error}");
    // Folders beside one another are not refused for this: these are no DICOM.
    let error = refused("file,label,site\ns0,0,a\ns1,1,a\n");
    assert!(!error.contains("one image"), "{error}");
}

const WHOLE: &str = "file,mask,site\n0.nii,m0.nii,a\n1.nii,m1.nii,a\n2.nii,m2.nii,a\n3.nii,m3.nii,a\n4.nii,m4.nii,a\n";

#[test]
fn a_volume_gives_its_slices_and_stays_in_one_split() {
    let folder = folder(WHOLE);
    let data = data::load(folder.path(), &options(Slices::All)).unwrap();
    let site = &data.sites[0];
    assert_eq!([site.train.len(), site.validation.len(), site.test.len()], [12, 4, 4]);
    for (name, group, image, mask) in samples(site) {
        let (file, slice) = name.split_once('#').unwrap();
        let slice: u8 = slice.parse().unwrap();
        assert_eq!(file, group);
        assert!((image - f32::from(slice) * 60.0 / 255.0).abs() < 1e-6, "{name}: {image}");
        assert_eq!(mask, f32::from(slice >= 2), "{name}");
    }
    let every = data::load(folder.path(), &options(Slices::Every(2))).unwrap();
    assert_eq!(every.sites[0].samples().count(), 10);
}

#[test]
fn rows_name_single_slices() {
    let rows = |column: &str| {
        let row = |number| format!("{number}.nii,{column},{},a\n", number % 2);
        let rows: String = (0..5).map(row).collect();
        folder(&format!("file,slice,label,site\n{rows}"))
    };
    let data = data::load(rows("3").path(), &options(Slices::All)).unwrap();
    let found = samples(&data.sites[0]);
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|(name, _, image, _)| name.ends_with("#3") && *image > 0.7));
    let error = data::load(rows("4").path(), &options(Slices::All)).unwrap_err().to_string();
    assert!(error.contains("labels.csv: line ") && error.contains(".nii below 4, "), "{error}");
    assert!(error.ends_with("counted from 0, found `4`"), "{error}");
    let error = data::load(rows("last").path(), &options(Slices::All)).unwrap_err().to_string();
    assert!(error.contains("line 2, column `slice`") && error.contains("found `last`"), "{error}");
}

/// Options that change nothing in any file were meant for other files.
#[test]
fn options_that_no_file_heeds_are_refused() {
    let pictures = tempfile::tempdir().unwrap();
    let mut table = "file,label,site\n".to_owned();
    for number in 0..6 {
        let name = format!("{number}.png");
        image::GrayImage::new(16, 16).save(pictures.path().join(&name)).unwrap();
        table += &format!("{name},{},a\n", number % 2);
    }
    fs::write(pictures.path().join("labels.csv"), table).unwrap();
    let plain = DataOptions { side: 16, sites: Some(1), ..DataOptions::default() };
    data::load(pictures.path(), &plain).unwrap();
    let with = |slices, intensity| {
        let imaging = ReadOptions { slices, intensity, ..ReadOptions::default() };
        DataOptions { imaging, ..plain.clone() }
    };
    let cut = SliceOptions { axis: Some(Axis::Coronal), ..SliceOptions::default() };
    let step = SliceOptions { which: Slices::Every(2), ..SliceOptions::default() };
    let lung = Intensity::Window { center: -600.0, width: 1500.0 };
    for (option, options) in [
        ("axis", with(cut, Intensity::Auto)),
        ("every", with(step.clone(), Intensity::Auto)),
        ("window", with(SliceOptions::default(), lung)),
    ] {
        let error = data::load(pictures.path(), &options).unwrap_err().to_string();
        for said in
            [format!("`{option}`"), "none in 6 files".to_owned(), format!("leave out --{option},")]
        {
            assert!(error.contains(&said), "{error}, expected {said}");
        }
        let error = data::load(Path::new("archive.npz"), &options).unwrap_err().to_string();
        assert!(error.contains("an archive of pictures; leave out"), "{error}");
        data::load(folder(WHOLE).path(), &options).unwrap();
    }
    // One volume of many files is enough, unless each row says which slice of it is read.
    let rows = |slice: &str| {
        let row = |number| format!("{number}.nii,{slice},{},a\n", number % 2);
        let rows: String = (0..5).map(row).collect();
        let folder = folder(&format!("file,slice,label,site\n{rows}p.png,,0,a\n"));
        image::GrayImage::new(16, 16).save(folder.path().join("p.png")).unwrap();
        folder
    };
    let every = with(step, Intensity::Auto);
    data::load(rows("").path(), &every).unwrap();
    let error = data::load(rows("1").path(), &every).unwrap_err().to_string();
    assert!(error.contains("leave out --every"), "{error}");
    data::load(rows("1").path(), &with(SliceOptions::default(), lung)).unwrap();
}

#[test]
fn labels_of_masks_are_chosen_and_their_share_is_said() {
    let folder = folder(WHOLE);
    for number in 0..5 {
        // 1, 1, 2, 3 from slice to slice.
        let mask = folder.path().join(format!("m{number}.nii"));
        volume(&mask, 4, |slice| (slice as u8).max(1));
    }
    let error = data::load(folder.path(), &options(Slices::All)).unwrap_err().to_string();
    assert!(error.contains("the values 1, 2, 3") && error.contains("--mask-label"), "{error}");
    let chosen = |labels: &[u32], share, text: &str| {
        let mask = MaskOptions { labels: labels.to_vec(), channel: None };
        let options = DataOptions { mask, ..options(Slices::All) };
        let site = data::load(folder.path(), &options).unwrap().sites.remove(0);
        assert_eq!(site.share_inside(), Some(share));
        let text = format!("  12 training,   4 validation,   4 test images, {text}");
        assert_eq!(site.summary(&[]), text);
    };
    chosen(&[2], 0.25, "25.0% of the pixels inside");
    chosen(&[1, 3], 0.75, "75.0% of the pixels inside");
    chosen(&[2, 7], 0.25, "25.0% of the pixels inside");
    let mask = MaskOptions { labels: vec![7], channel: None };
    let error = data::load(folder.path(), &DataOptions { mask, ..options(Slices::All) });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("m0.nii: ") && error.contains("but the values 1, 2, 3 in"), "{error}");
    let mask = MaskOptions { labels: vec![2], channel: Some(1) };
    let error = data::load(folder.path(), &DataOptions { mask, ..options(Slices::All) });
    assert!(error.unwrap_err().to_string().contains("mask channel below 1, found 1"));
}

#[test]
fn misfitting_masks_are_refused_by_name() {
    let folder = folder(WHOLE);
    let mask = folder.path().join("m2.nii");
    volume(&mask, 3, |_| 1);
    let error = data::load(folder.path(), &options(Slices::All)).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("m2.nii: expected a mask of 4 slices like its image, found 3"),
        "{error}"
    );
    fs::write(&mask, "no volume").unwrap();
    let error = data::load(folder.path(), &options(Slices::All)).unwrap_err();
    assert!(error.to_string().contains("m2.nii: expected PNG"), "{error}");
    let whole = fs::read(folder.path().join("1.nii")).unwrap();
    fs::write(&mask, &whole[..900]).unwrap();
    let error = data::load(folder.path(), &options(Slices::All)).unwrap_err().to_string();
    assert!(error.contains("m2.nii: cannot be decoded as NIfTI"), "{error}");
    volume(&mask, 4, |_| 1);
    volume(&folder.path().join("3.nii"), 0, |_| 0);
    let error = data::load(folder.path(), &options(Slices::All)).unwrap_err().to_string();
    assert!(error.contains("3.nii"), "{error}");
}
