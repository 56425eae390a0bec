//! Attributes of an enhanced object stand for each frame, for all, or in the object itself, and once
//! there: where two say different things, nobody knows which counts.

use ringfence_imaging::{Intensity, MaskOptions, ReadOptions, decode};

use crate::make::{self, Dicom};
use crate::masks::masked;

/// An attribute: its group and element, type, and two values that differ, the first of them written
/// another way.
struct Attribute(u16, u16, &'static [u8; 2], [&'static str; 3]);

/// A group of a frame, an attribute that is read of it, and what else is there.
type Group = ((u16, u16), Attribute, &'static [(u16, u16, &'static str)]);

/// The groups of a frame, and what is read of them. Of a rescaling and a window the other half
/// follows, which is alike everywhere.
const GROUPS: [Group; 8] = [
    ((0x28, 0x9145), Attribute(0x28, 0x1053, b"DS", ["2", "2.0", "3"]), &[(0x28, 0x1052, "5")]),
    ((0x28, 0x9145), Attribute(0x28, 0x1052, b"DS", ["5", "5.", "6"]), &[(0x28, 0x1053, "2")]),
    ((0x28, 0x9132), Attribute(0x28, 0x1050, b"DS", ["40", "4e1", "50"]), &[(0x28, 0x1051, "80")]),
    ((0x28, 0x9132), Attribute(0x28, 0x1051, b"DS", ["80", "80.0", "90"]), &[(0x28, 0x1050, "40")]),
    (
        (0x28, 0x9132),
        Attribute(0x28, 0x1056, b"CS", ["LINEAR", " LINEAR ", "SIGMOID"]),
        &[(0x28, 0x1050, "40"), (0x28, 0x1051, "80")],
    ),
    ((0x20, 0x9113), Attribute(0x20, 0x32, b"DS", ["0\\0\\1", "0.0\\0\\1", "0\\0\\2"]), &[]),
    (
        (0x20, 0x9116),
        Attribute(
            0x20,
            0x37,
            b"DS",
            ["1\\0\\0\\0\\1\\0", "1\\0\\0\\0\\1\\0.0", "1\\0\\0\\0\\0\\1"],
        ),
        &[],
    ),
    ((0x28, 0x9110), Attribute(0x28, 0x30, b"DS", ["1\\1", "1.0\\1.0", "2\\2"]), &[]),
];

fn put(item: &mut Dicom, attribute: &Attribute, value: &str, others: &[(u16, u16, &str)]) {
    item.text(attribute.0, attribute.1, attribute.2, value);
    for (group, element, value) in others {
        item.text(*group, *element, b"DS", value);
    }
}

/// Two frames, of which the second says something, besides what all share and the object itself:
/// whichever of them are given.
fn file((sequence, attribute, others): &Group, [own, shared, top]: [Option<&str>; 3]) -> Dicom {
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    file.text(0x0028, 0x0008, b"IS", "2").words(&[10, 20, 30, 40]);
    let groups = |value: Option<&str>| {
        let mut groups = Dicom::item();
        if let Some(value) = value {
            let mut item = Dicom::item();
            put(&mut item, attribute, value, others);
            groups.sequence(sequence.0, sequence.1, &[item]);
        }
        groups
    };
    file.sequence(0x5200, 0x9229, &[groups(shared)]);
    // The first frame says what the second does, so that none lacks what another has.
    file.sequence(0x5200, 0x9230, &[groups(own), groups(own)]);
    if let Some(value) = top {
        put(&mut file, attribute, value, others);
    }
    file
}

fn read(file: &Dicom) -> Result<(), String> {
    decode(&file.bytes(), &ReadOptions::default()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn levels_that_differ_are_refused_with_both() {
    let (frame, all, own) = ("frame 1", "what all frames share", "the file's own attribute");
    for group in &GROUPS {
        let [value, again, other] = group.1.3;
        for levels in [
            [Some(value), Some(again), None],
            [Some(value), None, Some(again)],
            [None, Some(again), Some(value)],
            [Some(again), Some(value), Some(value)],
        ] {
            read(&file(group, levels)).unwrap();
        }
        for (levels, by) in [
            ([Some(value), Some(other), None], [frame, all]),
            ([Some(value), None, Some(other)], [frame, own]),
            ([None, Some(value), Some(other)], [all, own]),
            ([Some(value), Some(value), Some(other)], [frame, own]),
        ] {
            let error = read(&file(group, levels)).unwrap_err();
            let [first, second] = [value, other].map(str::trim);
            let said = format!("found {first} by {} and {second} by {}", by[0], by[1]);
            let tag = format!("({:04X},{:04X}): expected one statement", group.1.0, group.1.1);
            assert!(error.contains(&said) && error.contains(&tag), "{error}, expected {said}");
            // As it was written, so it is fetched again.
            assert!(error.contains("export the file anew or correct that in a copy"), "{error}");
        }
    }
}

/// Of two items of one group the first would be taken.
#[test]
fn items_that_differ_are_refused_with_both() {
    for (sequence, attribute, others) in &GROUPS {
        let of = |values: [&str; 2]| {
            let items = values.map(|value| {
                let mut item = Dicom::item();
                put(&mut item, attribute, value, others);
                item
            });
            let mut groups = Dicom::item();
            groups.sequence(sequence.0, sequence.1, &items);
            let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
            file.words(&[10, 20]).sequence(0x5200, 0x9229, &[groups]);
            read(&file)
        };
        let [value, again, other] = attribute.3;
        of([value, again]).unwrap();
        let error = of([value, other]).unwrap_err();
        assert!(error.contains("share (item 1 of ") && error.contains("(item 2 of "), "{error}");
    }
}

/// A half at one level and a half at another is no window of either, nor is a function alone.
#[test]
fn what_one_level_says_is_not_completed_by_another() {
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    let (mut window, mut groups) = (Dicom::item(), Dicom::item());
    window.text(0x0028, 0x1050, b"DS", "40").text(0x0028, 0x1051, b"DS", "80");
    groups.sequence(0x0028, 0x9132, &[window]);
    file.words(&[10, 20]).sequence(0x5200, 0x9229, &[groups]);
    read(&file).unwrap();
    let error = read(file.text(0x0028, 0x1056, b"CS", "SIGMOID")).unwrap_err();
    assert!(error.contains("WindowCenter (0028,1050): expected one statement"), "{error}");
    assert!(error.contains("and none by the file's own attribute"), "{error}");
    // One that is given counts instead.
    let intensity = Intensity::Window { center: 20.0, width: 40.0 };
    decode(&file.bytes(), &ReadOptions { intensity, ..ReadOptions::default() }).unwrap();
}

#[test]
fn a_segment_stands_at_one_level_only() {
    let folder = tempfile::tempdir().unwrap();
    let [image, path] = ["image.dcm", "mask.dcm"].map(|name| folder.path().join(name));
    let mut plain = Dicom::new(make::EXPLICIT, 8, 1, (8, 8));
    std::fs::write(&image, plain.octets(&[0; 8]).bytes()).unwrap();
    let segment = |number: u16| {
        let (mut item, mut groups) = (Dicom::item(), Dicom::item());
        item.word(0x0062, 0x000b, number);
        groups.sequence(0x0062, 0x000a, &[item]);
        groups
    };
    let mask = |own: u16, shared: u16| {
        let mut file = Dicom::new(make::EXPLICIT, 8, 1, (8, 8));
        file.text(0x0062, 0x0001, b"CS", "BINARY").octets(&[0, 0, 0, 0, 1, 1, 1, 1]);
        file.sequence(0x5200, 0x9229, &[segment(shared)]);
        file.sequence(0x5200, 0x9230, &[segment(own)]);
        std::fs::write(&path, file.bytes()).unwrap();
        masked(&image, &path, &MaskOptions::default())
    };
    mask(1, 1).unwrap();
    let error = mask(1, 2).unwrap_err();
    assert!(error.contains("ReferencedSegmentNumber (0062,000B): expected one stat"), "{error}");
}

/// A lookup table and a rescaling are two statements of one thing, too.
#[test]
fn a_lookup_table_beside_a_rescaling_is_refused() {
    let mut table = Dicom::item();
    let words = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    table.put(0x0028, 0x3002, b"US", words(&[2, 0, 16]));
    table.put(0x0028, 0x3006, b"OW", words(&[7, 9]));
    let mut file = Dicom::new(make::EXPLICIT, 2, 1, (16, 12));
    file.words(&[0, 1]).sequence(0x0028, 0x3000, &[table.clone()]);
    read(&file).unwrap();
    let error = read(file.clone().sequence(0x0028, 0x3000, &[table.clone(), table])).unwrap_err();
    assert!(error.contains("(0028,3000): expected one item, found 2"), "{error}");
    file.text(0x0028, 0x1052, b"DS", "0").text(0x0028, 0x1053, b"DS", "2");
    let error = read(&file).unwrap_err();
    assert!(error.contains("expected a table or a rescaling, found both (slope 2"), "{error}");
    read(file.text(0x0028, 0x1053, b"DS", "1")).unwrap();
}
