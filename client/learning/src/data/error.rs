//! What can be wrong with the data a site brings.

use std::path::PathBuf;

/// Why data could not be used. Found before training starts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be read or written.
    #[error("{}: {source}; check that the path exists and may be accessed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A path that is neither a folder nor a MedMNIST file.
    #[error("{}: expected a folder with labels.csv or a MedMNIST .npz file", path.display())]
    Unknown {
        /// The path.
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
    /// A column that must be there and is not.
    #[error("{}: expected a column `{column}`, found {found:?}; add it to the first line", path.display())]
    Column {
        /// The table.
        path: PathBuf,
        /// The missing column.
        column: &'static str,
        /// The columns found.
        found: Vec<String>,
    },
    /// A field of a table with a value it may not have.
    #[error("{}: line {line}, column `{column}`: expected {expected}, found `{found}`", path.display())]
    Field {
        /// The table.
        path: PathBuf,
        /// Line number, the header being line 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
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
    #[error("{}: {column} `{group}` of site `{site}` is in both `{first}` and `{second}`; put all its images into one split", path.display())]
    Straddle {
        /// The table.
        path: PathBuf,
        /// The column that groups: `patient` or `volume`.
        column: &'static str,
        /// The group.
        group: String,
        /// Its site.
        site: String,
        /// One split it is in.
        first: &'static str,
        /// Another split it is in.
        second: &'static str,
    },
    /// A NumPy archive that cannot be used.
    #[error("{}: array `{array}`: expected {expected}, found {found}; fetch the file again or use a MedMNIST 2-D set", path.display())]
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
    #[error("{}: expected {asked} sites, but at most {possible} can be made ({why}); {}", path.display(), if *possible > 0 { "ask for fewer sites" } else { "mend the data" })]
    Sites {
        /// The table or file.
        path: PathBuf,
        /// How many were asked for.
        asked: usize,
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
    #[error("{}: expected {needed} MiB of free memory for {samples} images of {side} x {side} pixels, found {free} MiB; keep fewer images a site (max_per_site), make them smaller (side), or free memory", path.display())]
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
        "classification expected samples of at least two classes, found {found:?} only at all sites together; add samples of another class or choose segmentation"
    )]
    OneClass {
        /// The classes found.
        found: Vec<String>,
    },
}
