//! A folder of DICOM files that are the slices of one volume.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};

use super::grey::Shades;
use super::value::{name, text};
use super::volume::{File, Slice, Volume};
use crate::error::Fault;
use crate::format::Format;
use crate::geometry::{Geometry, Vector, dot, length, minus, scale};
use crate::options::Limits;
use crate::read::{load, open};

/// How much the steps from slice to slice may differ, as a part of their median.
const UNEVEN: f64 = 0.1;
/// Slices nearer to each other than this, in millimetres, lie at one place.
const SAME: f64 = 1e-3;
/// What scanners of slices call single ones, and these scanners.
const SLICES: [&str; 3] = [
    uids::CT_IMAGE_STORAGE,
    uids::MR_IMAGE_STORAGE,
    uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
];
const SECTIONAL: [&str; 3] = ["CT", "MR", "PT"];

/// The files of a folder, in the order of their names. Those whose names start with a dot, as
/// systems leave them, are none of them.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() { Err(Fault::Empty) } else { Ok(files) }
}

/// Reads a series and orders its slices by their positions across them.
pub(super) fn read(folder: &Path, limits: Limits) -> Result<Volume, Fault> {
    let (mut parsed_files, mut others) = (Vec::new(), Vec::new());
    let mut left = limits.bytes;
    for path in files(folder)? {
        let file = path.file_name().unwrap_or_default().display().to_string();
        let within = |fault| Fault::Slice { file: file.clone(), fault: Box::new(fault) };
        let mut bytes = Vec::new();
        let opened = open(&path).map_err(within)?;
        let most = left.saturating_add(1);
        opened.take(most).read_to_end(&mut bytes).map_err(|error| within(error.into()))?;
        let found = limits.bytes - left + bytes.len() as u64;
        Fault::limit("bytes of the series", limits.bytes, found)?;
        left -= bytes.len() as u64;
        if let Some(found) = other_format(&bytes).map_err(within)? {
            others.push((file, found));
            continue;
        }
        let parsed = File::parse(&bytes, limits).map_err(within)?;
        parsed.check_frames().map_err(within)?;
        one_frame(&parsed).map_err(within)?;
        parsed_files.push((file, parsed));
    }
    only_dicom(&others, parsed_files.len())?;
    let slices = placed(parsed_files)?;
    one_series(&slices)?;
    let order = order(&slices)?;
    let mut files: Vec<Option<File>> =
        slices.into_iter().map(|(.., parsed)| Some(parsed)).collect();
    let ordered =
        order.iter().filter_map(|index| files.get_mut(*index)?.take()).collect::<Vec<_>>();
    let slices = (0..ordered.len()).map(|file| Slice { file, frame: 0 }).collect();
    Ok(Volume { files: ordered, slices })
}

/// What a file is that is no DICOM.
fn other_format(bytes: &[u8]) -> Result<Option<String>, Fault> {
    match crate::detect::detect(bytes) {
        Ok(Format::Dicom) => Ok(None),
        Ok(format) => Ok(Some(format.to_string())),
        Err(Fault::Unknown { found }) => Ok(Some(found)),
        Err(fault) => Err(fault),
    }
}

/// Refuses files of other kinds, each with what it is. Where they are the most, the slices are told to be
/// in the wrong place.
fn only_dicom(others: &[(String, String)], slices: usize) -> Result<(), Fault> {
    let Some((file, found)) = others.first() else { return Ok(()) };
    let expected = "DICOM slices only in the folder of a series";
    if others.len() > slices {
        let names: Vec<String> = others.iter().map(|(file, _)| file.clone()).collect();
        let all = others.len() + slices;
        let found = format!("{found} beside them: {}, of {all} files", some_of(&names));
        return Err(Fault::volume(expected, found, "put the slices into a folder of their own"));
    }
    let fault = Fault::volume(expected, found.as_str(), "take it out of the folder");
    Err(Fault::Slice { file: file.clone(), fault: Box::new(fault) })
}

/// Whether a folder holds slices of one volume, whatever else lies there: two slices ([`is_slice`])
/// of one series ([`series_of`]). Whether they make a volume is seen when they are read.
pub(crate) fn holds_slices(folder: &Path, limits: Limits) -> Result<bool, Fault> {
    let mut known = BTreeSet::new();
    for path in files(folder)? {
        if path.is_dir() || !matches!(crate::read::format(&path), Ok(Format::Dicom)) {
            continue;
        }
        let parsed = load(&path, limits).and_then(|bytes| File::parse(&bytes, limits));
        let series = parsed.and_then(|file| Ok(is_slice(&file)?.then_some(series_of(&file)?)));
        // What cannot be read is refused when it is.
        let Ok(Some(series)) = series else { continue };
        if !known.insert(series) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first two of these files that are slices of one series ([`is_slice`]), of which one says
/// nothing of its shades, or both something else.
pub(crate) fn slices_apart<'a>(
    files: impl Iterator<Item = &'a Path>,
    limits: Limits,
) -> Option<(&'a Path, &'a Path)> {
    let mut known = BTreeMap::<_, (&'a Path, Option<Shades>)>::new();
    for path in files {
        let parsed = load(path, limits).and_then(|bytes| File::parse(&bytes, limits));
        let slice = parsed.and_then(|file| {
            let File { object, attributes, .. } = &file;
            let is_one = is_slice(&file)? && attributes.is_monochrome();
            let own = if is_one { Shades::own(object, attributes, 0)? } else { None };
            Ok(is_one.then_some((series_of(&file)?, own)))
        });
        // What cannot be read is refused when it is.
        let Ok(Some((series, own))) = slice else { continue };
        match known.get(&series) {
            Some((first, shades)) if own.is_none() || own != *shades => return Some((first, path)),
            Some(_) => {}
            None => _ = known.insert(series, (path, own)),
        }
    }
    None
}

/// Whether a file is a slice of a volume: a single frame that says where it lies, or is made by a
/// scanner of slices. Alone each would be scaled by its own values, and have no place among the
/// others. A screenshot from such a scanner has a scale of its own, as a radiograph is a whole.
fn is_slice(file: &File) -> Result<bool, Fault> {
    let File { object, attributes, .. } = file;
    if attributes.frames != 1 || file.geometry.is_some() {
        return Ok(attributes.frames == 1);
    }
    let kind = text(object, tags::SOP_CLASS_UID)?;
    if kind.is_some_and(|kind| SLICES.contains(&kind.as_str())) {
        return Ok(true);
    }
    let modality = text(object, tags::MODALITY)?;
    let sectional = modality.is_some_and(|modality| SECTIONAL.contains(&modality.as_str()));
    let scaled = || Shades::own(object, attributes, 0).map(|own| own.is_some());
    Ok(sectional && attributes.is_monochrome() && !scaled()?)
}

/// What slices of one series have alike. Where its UID was taken away, the patient, the study and the
/// series' number, as far as these are left.
fn series_of(file: &File) -> Result<[Option<String>; 4], Fault> {
    let of = |tag| text(&file.object, tag);
    match of(tags::SERIES_INSTANCE_UID)? {
        Some(uid) => Ok([Some(uid), None, None, None]),
        None => Ok([
            None,
            of(tags::PATIENT_ID)?,
            of(tags::STUDY_INSTANCE_UID)?,
            of(tags::SERIES_NUMBER)?,
        ]),
    }
}

/// A file of a series, by its name, and where it lies.
type Placed = (String, Geometry, File);

/// A slice of a series is alone in its file.
fn one_frame(file: &File) -> Result<(), Fault> {
    let found = file.attributes.frames;
    if found > 1 {
        let advice = "name the file itself, or put it into another folder";
        return Err(Fault::volume("one frame a file of a series", found.to_string(), advice));
    }
    Ok(())
}

/// Where the slices lie: in a series each has to say so. Where some do and others do not, the fewer are
/// named: a radiograph beside a series, or the other way round.
fn placed(files: Vec<(String, File)>) -> Result<Vec<Placed>, Fault> {
    let of = |has_place: bool| {
        let files = files.iter().filter(move |(_, file)| file.geometry.is_some() == has_place);
        files.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let (with, without) = (of(true), of(false));
    if without.is_empty() {
        let placed = |(name, file): (String, File)| Some((name, file.geometry.clone()?, file));
        return Ok(files.into_iter().filter_map(placed).collect());
    }
    let wanted =
        [tags::IMAGE_POSITION_PATIENT, tags::IMAGE_ORIENTATION_PATIENT, tags::PIXEL_SPACING];
    let [position, orientation, spacing] = wanted.map(name);
    let place = format!("{position}, {orientation} and {spacing}");
    let expected = format!("{place} in each, by which the slices of a series are put in order");
    let all = files.len();
    let (found, advice) = match (with.len(), without.len()) {
        (0, 1) => (format!("none in {}", without.concat()), EXPORT_WITH_PLACE),
        (0, _) => (format!("none in any of {all} files"), EXPORT_WITH_PLACE),
        (some, none) if some < none => (
            format!("them only in {}, of {all} files", some_of(&with)),
            "put the slices of a series into a folder of their own; files that are no slices of a volume are listed one by one in a labels.csv",
        ),
        _ => (
            format!("none in {}, of {all} files", some_of(&without)),
            "take out what is no slice of the series, or export it with them",
        ),
    };
    Err(Fault::volume(expected, found, advice))
}

const EXPORT_WITH_PLACE: &str = "export the series with them; files that are no slices of a volume are listed one by one in a labels.csv";

/// Files by name: a few of them, and how many more there are.
fn some_of(names: &[String]) -> String {
    let (named, more) = names.split_at(names.len().min(3));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}", named.join(", "))
}

/// Refuses files that cannot be slices of one volume. Those are named that differ from the most.
fn one_series(slices: &[Placed]) -> Result<(), Fault> {
    let mut groups = Vec::<(&Placed, Vec<&str>)>::new();
    for slice in slices {
        let (name, here, file) = slice;
        let mut like = None;
        for (place, ((_, there, first), _)) in groups.iter().enumerate() {
            if difference(first, there, file, here)?.is_none() {
                like = Some(place);
                break;
            }
        }
        match like.and_then(|place| groups.get_mut(place)) {
            Some((_, names)) => names.push(name),
            None => groups.push((slice, vec![name])),
        }
    }
    // Of as many the first.
    let most = groups.iter().rev().max_by_key(|(_, names)| names.len());
    let Some(((first, there, one), most)) = most else { return Err(Fault::Empty) };
    let others = groups.iter().filter(|((other, ..), _)| other != first);
    let Some(((file, here, other), names)) = others.min_by_key(|(_, names)| names.len()) else {
        return Ok(());
    };
    let what = difference(one, there, other, here)?.unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let found = if most.len() == names.len() {
        format!("{first} and {file}, which differ in {what}")
    } else {
        let (named, like) = (some_of(&names), most.len());
        let differ = if names.len() == 1 { "differs" } else { "differ" };
        format!("{named}, which {differ} from {like} files ({first} for one) in {what}")
    };
    let advice = "put each series into a folder of its own";
    Err(Fault::volume("slices of one series in a folder", found, advice))
}

/// The order of the slices along their normal, of a volume without gaps.
fn order(slices: &[Placed]) -> Result<Vec<usize>, Fault> {
    let Some((_, there, _)) = slices.first() else { return Err(Fault::Empty) };
    let origin = |index: usize| {
        let geometry = slices.get(index).map(|(_, geometry, _)| geometry);
        geometry.and_then(|geometry| geometry.origins.first().copied()).unwrap_or_default()
    };
    let along = |vector| dot(vector, there.normal());
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|one, other| along(origin(*one)).total_cmp(&along(origin(*other))));
    // With a tilted gantry slices are shifted, each by as much as the last.
    let steps: Vec<Vector> =
        order.windows(2).map(|pair| minus(origin(pair[1]), origin(pair[0]))).collect();
    let mut sorted = steps.clone();
    sorted.sort_by(|one, other| along(*one).total_cmp(&along(*other)));
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let both = |pair: &[usize]| {
        let name = |index: &usize| slices.get(*index).map_or("", |(file, ..)| file.as_str());
        pair.iter().map(name).collect::<Vec<_>>().join(" and ")
    };
    let pairs = || order.windows(2).zip(&steps);
    if let Some((pair, _)) = pairs().find(|(_, step)| length(**step) < SAME) {
        let found = format!("{} at the same place", both(pair));
        let advice = "keep one of the two, as of all that are there twice";
        return Err(Fault::volume("one slice at each place", found, advice));
    }
    let uneven = |step: Vector| length(minus(step, median)) > UNEVEN * along(median);
    if let Some((pair, step)) = pairs().find(|(_, step)| along(median) <= 0.0 || uneven(**step)) {
        let said = |[x, y, z]: Vector| format!("({x:.2}, {y:.2}, {z:.2}) mm apart");
        let expected = format!("slices that are all {}", said(median));
        let found = format!("{} {}", both(pair), said(*step));
        let advice =
            "add the slices that are missing, or take those out that are of another series";
        return Err(Fault::volume(expected, found, advice));
    }
    Ok(order)
}

/// In what two files differ that cannot be slices of one volume.
fn difference(
    one: &File,
    there: &Geometry,
    other: &File,
    here: &Geometry,
) -> Result<Option<String>, Fault> {
    let (a, b) = (&one.attributes, &other.attributes);
    let uid = |file: &File| text(&file.object, tags::SERIES_INSTANCE_UID);
    let apart = |one, other, steps: usize| length(scale(minus(one, other), steps as f64));
    let tolerance = there.tolerance();
    let crooked = apart(there.across, here.across, there.width) > tolerance
        || apart(there.down, here.down, there.height) > tolerance;
    let patient = |file: &File| text(&file.object, tags::PATIENT_ID);
    let modality = |file: &File| text(&file.object, tags::MODALITY);
    let what = if uid(one)? != uid(other)? {
        name(tags::SERIES_INSTANCE_UID)
    } else if patient(one)? != patient(other)? {
        name(tags::PATIENT_ID)
    } else if modality(one)? != modality(other)? {
        name(tags::MODALITY)
    } else if (a.rows, a.columns) != (b.rows, b.columns) {
        "their size".to_string()
    } else if (&a.photometric, a.samples) != (&b.photometric, b.samples) {
        name(tags::PHOTOMETRIC_INTERPRETATION)
    } else if there.frame_of_reference != here.frame_of_reference {
        name(tags::FRAME_OF_REFERENCE_UID)
    } else if crooked {
        format!("{} or {}", name(tags::IMAGE_ORIENTATION_PATIENT), name(tags::PIXEL_SPACING))
    } else {
        return Ok(None);
    };
    Ok(Some(what))
}
