//! What can be wrong with the data a site brings.

use std::path::PathBuf;

use ringfence_durable::advice;
use ringfence_words::{counted, listed};

use super::left_out::largest;

/// Why data could not be used. Found before training starts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be read or written.
    #[error("{}: {source}{}", path.display(), advice(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Two samples that are one image.
    #[error(
        "{}: {first} and {second} are the same image, and each record is accounted for by what it is: leave one of them out, or name the patients and protect those",
        path.display()
    )]
    SameRecord {
        /// The folder or file.
        path: PathBuf,
        /// The sample that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// A table in an encoding that is not read.
    #[error("{}: {source}", path.display())]
    Text {
        /// The table.
        path: PathBuf,
        /// What was found, and what to do.
        source: std::io::Error,
    },
    /// A path that is neither a folder nor a MedMNIST file.
    #[error("{}: expected a folder with labels.csv or a MedMNIST .npz file", path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
    },
    /// A table whose name is like that of a folder's.
    #[error("{}: expected the table to be called labels.csv, in small letters; call it so", path.display())]
    TableName {
        /// The table.
        path: PathBuf,
    },
    /// A table that breaks the CSV format.
    #[error("{}: not a valid CSV table: {source}", path.display())]
    Csv {
        /// The table.
        path: PathBuf,
        /// What the parser said.
        source: csv::Error,
    },
    /// A quoted field that ends elsewhere than at a delimiter or a line's end.
    #[error("{}: line {line}: expected a quoted field to be closed before the next delimiter or the line's end; close the quote, or write a quote within a field as two", path.display())]
    Quote {
        /// The table.
        path: PathBuf,
        /// The line in which the quote opens, the first line being 1.
        line: u64,
    },
    /// A line with more or fewer fields than the table has columns.
    #[error("{}: line {line}: expected {expected} fields as in the first line, found {found} (parted by {delimiter}); add the missing ones, and quote a field in which a delimiter stands", path.display())]
    Fields {
        /// The table.
        path: PathBuf,
        /// Line number, the first line being 1.
        line: u64,
        /// Number of columns.
        expected: usize,
        /// Number of fields.
        found: usize,
        /// What parts the fields.
        delimiter: &'static str,
    },
    /// A column that must be there and is not.
    #[error("{}: expected a column {column}, found {} (parted by {delimiter}); name it so in the first line", path.display(), columns(found))]
    Column {
        /// The table.
        path: PathBuf,
        /// The missing column, in backticks.
        column: &'static str,
        /// The columns found.
        found: Vec<String>,
        /// What parts the fields.
        delimiter: &'static str,
    },
    /// Two columns that mean the same.
    #[error("{}: expected one column `{column}`, found `{first}` and `{second}`; take one away, or give it another name", path.display())]
    TwoColumns {
        /// The table.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// A name found.
        first: String,
        /// Another.
        second: String,
    },
    /// A column whose name is like that of one that the table lacks.
    #[error("{}: found a column `{found}` and none `{column}`; call it `{column}` if that is meant, and something else if not", path.display())]
    Resembling {
        /// The table.
        path: PathBuf,
        /// The column that is read.
        column: &'static str,
        /// The name found.
        found: String,
    },
    /// A field of a table with a value it may not have.
    #[error("{}: line {line}, column `{column}`: expected {expected}, found `{found}`", path.display())]
    Field {
        /// The table.
        path: PathBuf,
        /// Line number, the first line being 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A line that names a slice which its volume does not have.
    #[error("{}: line {line}, column `slice`: expected a slice of {file} below {count}, counted from 0, found `{found}`", path.display())]
    Slice {
        /// The table.
        path: PathBuf,
        /// Line number, the first line being 1.
        line: u64,
        /// The volume.
        file: String,
        /// How many slices it has.
        count: usize,
        /// The slice.
        found: usize,
    },
    /// Masks of one folder that have one label each, and not the same.
    #[error("{}: expected the same label beside 0 as in the other masks (1 and white are the same), found label {label}, as in {masks} of {all}, and label {other_label} in {other_masks} ({} for one); {}", path.display(), other.display(), labels_advice(labels))]
    MaskLabels {
        /// A mask that deviates from the most.
        path: PathBuf,
        /// Its only label beside 0.
        label: u32,
        /// How many masks have it.
        masks: usize,
        /// A mask of those that most are like.
        other: PathBuf,
        /// Its only label beside 0.
        other_label: u32,
        /// How many masks have it.
        other_masks: usize,
        /// How many masks have one label.
        all: usize,
        /// All labels that stand in them.
        labels: Vec<u32>,
    },
    /// Labels are chosen of which none stands in any mask.
    #[error("{}: expected a label that --mask-label chooses in at least one of the masks, found none, but {found} in this one; choose among the values that the masks hold", path.display())]
    NoMaskLabel {
        /// A mask.
        path: PathBuf,
        /// Its values, in words.
        found: String,
    },
    /// A label that is none of the study's classes.
    #[error("{}: line {line}, column `label`: expected one of the study's classes {}, found `{label}`; write a class's name", path.display(), quoted(classes))]
    Class {
        /// The table.
        path: PathBuf,
        /// Line number, the first line being 1.
        line: u64,
        /// What stands there.
        label: String,
        /// The study's classes.
        classes: Vec<String>,
    },
    /// A label that is a bare number where the study's classes have names.
    #[error("{}: line {line}, column `label`: expected the name of one of the study's classes {}, found the number {label}, which says of none of them that it is meant; write the names instead of numbers, or beside them in a column `label_name`", path.display(), quoted(classes))]
    ClassNumber {
        /// The table.
        path: PathBuf,
        /// Line number, the first line being 1.
        line: u64,
        /// What stands there.
        label: String,
        /// The study's classes.
        classes: Vec<String>,
    },
    /// A label of an archive that is none of the study's classes.
    #[error("{}: array `{array}`: expected labels of the study's classes {}, found {label}", path.display(), quoted(classes))]
    ArrayClass {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: String,
        /// The label.
        label: u32,
        /// The study's classes.
        classes: Vec<String>,
    },
    /// A label with two names, or two labels with one name.
    #[error("{}: label `{}` is named `{}` in line {first_line}, and label `{}` is named `{}` in line {second_line}; give every label one name of its own", path.display(), first.0, first.1, second.0, second.1)]
    ClassNames {
        /// The table.
        path: PathBuf,
        /// A line.
        first_line: u64,
        /// Its label and the label's name.
        first: (String, String),
        /// Another line.
        second_line: u64,
        /// Its label and the label's name.
        second: (String, String),
    },
    /// Two names that differ only in case, spaces, dashes, a number's spelling or the encoding of letters.
    #[error("{}: column `{column}`: `{first}` in line {first_line} and `{second}` in line {second_line} differ in spelling only; write one name in one way, and different ones in other letters", path.display())]
    Spelling {
        /// The table.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// One spelling.
        first: String,
        /// Its line.
        first_line: u64,
        /// Another spelling.
        second: String,
        /// Its line.
        second_line: u64,
    },
    /// One image, or slice of a volume, in two lines.
    #[error("{}: `{first}` in line {first_line} and `{second}` in line {second_line} are one image{differs}; keep one line for each image, and for each slice of a volume", path.display())]
    Twice {
        /// The table.
        path: PathBuf,
        /// The image as one line names it.
        first: String,
        /// That line.
        first_line: u64,
        /// The image as another line names it.
        second: String,
        /// That line.
        second_line: u64,
        /// What else differs between the lines, if anything.
        differs: &'static str,
    },
    /// An image whose mask is itself.
    #[error("{}: line {line}: expected a picture of what is to be segmented as the mask of `{file}`, found the image itself; name the mask's file", path.display())]
    OwnMask {
        /// The table.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The image.
        file: String,
    },
    /// A table without samples.
    #[error("{}: expected at least one image, found none; list them in labels.csv", path.display())]
    Empty {
        /// The table or file.
        path: PathBuf,
    },
    /// A file that is not an image, or a damaged one, or one in an encoding that is not read.
    #[error(transparent)]
    Imaging(#[from] ringfence_imaging::ImagingError),
    /// An image that cannot be written.
    #[error("{}: cannot be written as PNG: {source}; check the folder", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A group in two splits: the test would measure memory.
    #[error("{}: {column} `{group}` is in `{first}` (line {first_line}) and in `{second}` (line {second_line}); put all its images into one split, or leave the column `split` aside (--ignore-split)", path.display())]
    Straddle {
        /// The table.
        path: PathBuf,
        /// The column that groups: `patient`, `volume` or `file`.
        column: &'static str,
        /// The group.
        group: String,
        /// One split it is in.
        first: &'static str,
        /// A line that says so.
        first_line: u64,
        /// Another split it is in.
        second: &'static str,
        /// A line that says so.
        second_line: u64,
    },
    /// A group at two sites: one site would be tested on what another has learnt.
    #[error("{}: {column} `{group}` is at `{first}` (line {first_line}) and at `{second}` (line {second_line}); put all its images at one site if it is one, and call them `{first}:{group}` and `{second}:{group}` if they are two or the study takes them for two", path.display())]
    TwoSites {
        /// The table.
        path: PathBuf,
        /// The column that groups: `patient`, `volume` or `file`.
        column: &'static str,
        /// The group.
        group: String,
        /// One site it is at.
        first: String,
        /// A line that says so.
        first_line: u64,
        /// Another site it is at.
        second: String,
        /// A line that says so.
        second_line: u64,
    },
    /// Data that name several sites where one site's are wanted.
    #[error("{}: expected the images of one site, found those of {}; say which are yours by --data-site", path.display(), quoted(found))]
    SeveralSites {
        /// The table.
        path: PathBuf,
        /// The sites that the data name.
        found: Vec<String>,
    },
    /// A site that is asked for by a name that the data do not have.
    #[error("{}: expected one of the data's sites {}, got --data-site {asked}", path.display(), quoted(found))]
    NoSite {
        /// The table.
        path: PathBuf,
        /// The site asked for.
        asked: String,
        /// The sites that the data name.
        found: Vec<String>,
    },
    /// A NumPy archive that cannot be used.
    #[error("{}: array `{array}`: expected {expected}, found {found}; fetch the file again where it is another one at its source, else save the array so (numpy.savez)", path.display())]
    Array {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Fewer sites than asked for can be made.
    #[error("{}: expected {}, but at most {possible} can be made ({why}); {}", path.display(), asked_for(*asked, *is_usual), fewer_sites(*possible))]
    Sites {
        /// The table or file.
        path: PathBuf,
        /// How many were asked for.
        asked: usize,
        /// Whether nobody asked, and it is the usual number.
        is_usual: bool,
        /// How many can be made.
        possible: usize,
        /// What limits them.
        why: String,
    },
    /// An image that is not square.
    #[error(
        "sample `{sample}`: expected an image of {side} x {side} pixels, found {found} pixels; bring it to a square first"
    )]
    Square {
        /// Name of the sample.
        sample: String,
        /// The side it was taken to have.
        side: usize,
        /// Its number of pixels.
        found: usize,
    },
    /// More samples than there is memory for.
    #[error("{}: expected {needed} MiB of free memory for {samples} images of {side} x {side} pixels, found {free} MiB; keep fewer images a site (--max-per-site), free memory, or train by a plan of smaller images (its --side)", path.display())]
    Memory {
        /// The folder or file.
        path: PathBuf,
        /// How many samples there are to be read.
        samples: usize,
        /// Their height and width.
        side: usize,
        /// What they take, in MiB.
        needed: u64,
        /// What is free, in MiB.
        free: u64,
    },
    /// Test images whose masks take too much memory at their own size.
    #[error("{}: expected free memory for the masks of the test images at their own size, one bit a pixel, found {free} MiB for all of them; keep fewer images a site (--max-per-site), make the files smaller, or free memory", path.display())]
    OwnMasks {
        /// The image for whose mask there was no room.
        path: PathBuf,
        /// What was free for all masks, in MiB.
        free: u64,
    },
    /// An option outside its range.
    #[error("data option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// The values it may take.
        expected: &'static str,
        /// The value that came.
        found: String,
    },
    /// Data that have nothing to tell apart.
    #[error(
        "classification expected samples of at least two classes, found {} only, {}; {}", quoted(found), at_sites(*sites), lost.as_ref().map_or_else(|| "add samples of another class or choose segmentation".to_owned(), |lost| format!("others take no part: {lost}"))
    )]
    OneClass {
        /// The classes found.
        found: Vec<String>,
        /// At how many sites.
        sites: usize,
        /// Why samples of other classes take no part, where there are some.
        lost: Option<String>,
    },
    /// Keeping the largest sites leaves out most of a class.
    #[error(
        "{} {kept} of the {all} images of class `{class}`: expected at least half; ask for more sites, or for all of them", kept_by(*sites)
    )]
    ClassLeftOut {
        /// The class.
        class: String,
        /// Sites that are kept.
        sites: usize,
        /// Images of the class at these.
        kept: usize,
        /// Images of the class at all sites.
        all: usize,
    },
}

/// At which sites something was looked for.
fn at_sites(sites: usize) -> String {
    match sites {
        1 => "at the only site".to_owned(),
        sites => format!("at all {} together", counted(sites as u64, "site")),
    }
}

/// Who has so many, of the sites that are kept.
fn kept_by(sites: usize) -> String {
    let has = if sites == 1 { "has" } else { "have" };
    format!("the {} {has}", largest(sites))
}

/// How many sites were expected, and by whom.
fn asked_for(asked: usize, is_usual: bool) -> String {
    let usual = if is_usual { ", as always where --sites asks for no other number" } else { "" };
    format!("{}{usual}", counted(asked as u64, "site"))
}

/// What to do where so many sites can be made. A study has at least three.
fn fewer_sites(possible: usize) -> String {
    match possible {
        0 => "mend the data".to_owned(),
        1 | 2 => "add patients or volumes: a study has at least 3 sites".to_owned(),
        _ => format!("ask for at most {possible} by --sites, or add patients or volumes"),
    }
}

/// The columns of a table in words.
fn columns(names: &[String]) -> String {
    match names {
        [] => "no column".to_string(),
        names => quoted(names),
    }
}

/// How to say what is inside of masks that hold these labels.
fn labels_advice(labels: &[u32]) -> String {
    let all: Vec<String> = labels.iter().map(u32::to_string).collect();
    format!(
        "correct the masks that deviate, or say which labels are inside by --mask-label ({} for all of them)",
        all.join(",")
    )
}

fn quoted(names: &[String]) -> String {
    match names {
        [] => "(it names none)".to_string(),
        names => listed(names.iter().map(|name| format!("`{name}`"))),
    }
}
