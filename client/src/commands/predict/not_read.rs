//! What could not be read, and what could not be compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use csv::IntoInnerError;
use ringfence_learning::DataError;
use ringfence_words::{MOST_LISTED, counted, grouped};

use crate::files::write_result;

/// A file's name, and what is wrong with it.
type Fault = (String, String);

/// All that was not read, and all that was not compared.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Files of which nothing was read.
    pub(super) images: Vec<Fault>,
    /// Lines of tables that name no slice of their volume.
    pub(super) lines: Vec<Fault>,
    /// Masks of images that are predicted without.
    pub(super) masks: Vec<Fault>,
}

impl Faults {
    /// The kinds: what is said of their files, what one is called, and the faults.
    fn kinds(&self) -> [(&'static str, &'static str, &[Fault]); 3] {
        [
            ("not read", "image", &self.images),
            ("no such slice", "line", &self.lines),
            ("not compared", "mask", &self.masks),
        ]
    }

    /// Writes all of them to `not-read.csv` in this folder, and answers with what is to be said of them:
    /// how many there are for each reason, a line each kind. Nothing where there are none.
    ///
    /// # Errors
    /// A table that cannot be written.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<Vec<String>> {
        if self.kinds().iter().all(|(.., faults)| faults.is_empty()) {
            return Ok(Vec::new());
        }
        let path = list(folder);
        let cannot = || format!("cannot write {}", path.display());
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["file", "part", "reason"]).with_context(cannot)?;
        for (_, part, faults) in self.kinds() {
            for (name, reason) in faults {
                table.write_record([name.as_str(), part, reason.as_str()]).with_context(cannot)?;
            }
        }
        let table = table.into_inner().map_err(IntoInnerError::into_error).with_context(cannot)?;
        write_result(&path, &table)?;
        Ok(self.kinds().iter().filter_map(|(what, _, faults)| told(what, faults)).collect())
    }

    /// How many there are, and where the list is; `None` where there are none.
    pub(super) fn summary(&self, folder: &Path) -> Option<String> {
        let of = |faults: &[Fault], thing: &str, what: &str| {
            let count = faults.len() as u64;
            (count > 0).then(|| format!("{} {what}", counted(count, thing)))
        };
        let parts = [
            of(&self.images, "file", "not read"),
            of(&self.lines, "line", "of a table not read"),
            of(&self.masks, "mask", "not compared"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let list = list(folder);
        (!parts.is_empty())
            .then(|| format!("{}: each with its reason in {}", parts.join(", "), list.display()))
    }
}

/// The table of all of them in the folder of results.
pub(super) fn list(folder: &Path) -> PathBuf {
    folder.join("not-read.csv")
}

/// Why a file was not read, without its path.
pub(super) fn reason(path: &Path, error: &DataError) -> String {
    // Of many masks with the same fault one is enough: the image says which.
    if let DataError::Imaging(error) = error
        && error.path != path
    {
        return format!("its mask: {}", error.fault);
    }
    let text = error.to_string();
    if let DataError::MaskLabels { path: mask, .. } = error {
        let text = text.strip_prefix(&format!("{}: ", mask.display())).unwrap_or(&text);
        return format!("its mask: {text}");
    }
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
}

/// Letters of the line that tells what is at fault, and of each of several reasons in it; the list has
/// all of them.
const MOST_LETTERS: usize = 600;
const MOST_OF_EACH: usize = 200;

/// The files at fault in one line: how many for each reason, with the first of each. Where the reasons
/// are long, their ends are left to the list.
fn told(what: &str, faults: &[Fault]) -> Option<String> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    faults.iter().for_each(|(name, reason)| reasons.entry(reason).or_default().push(name));
    let most = if reasons.len() == 1 { MOST_LETTERS } else { MOST_OF_EACH };
    let lines: Vec<String> = reasons
        .into_iter()
        .map(|(reason, names)| match names.as_slice() {
            [first, _, ..] => {
                format!("{}, the first {first}: {reason}", counted(names.len() as u64, "file"))
            }
            names => format!("{}: {reason}", names.concat()),
        })
        .map(|line| cut(line, most))
        .collect();
    let mut said = String::new();
    for (told, line) in lines.iter().enumerate() {
        if told == MOST_LISTED || said.chars().count() + line.chars().count() > MOST_LETTERS {
            said += &format!(" ... and {} more", grouped((lines.len() - told) as u64));
            break;
        }
        said += if told == 0 { "" } else { "; " };
        said += line;
    }
    (!lines.is_empty()).then(|| format!("{what}: {said}"))
}

/// At most so many letters.
fn cut(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    let kept: String = text.chars().take(most.saturating_sub(4)).collect();
    format!("{} ...", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_read_are_one_line() {
        let of = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
        let mut refused = vec![of("notes.doc", "found text")];
        refused.extend((0..108).map(|file| of(&format!("{file}.png"), "found an empty file")));
        assert_eq!(
            told("not read", &refused).unwrap(),
            "not read: 108 files, the first 0.png: found an empty file; notes.doc: found text"
        );
        assert_eq!(told("not read", &[]), None);
        // As many reasons as files.
        let refused: Vec<_> = (0..4322).map(|file| of("a.png", &format!("fault {file}"))).collect();
        let line = told("not read", &refused).unwrap();
        assert!(line.len() < 300 && line.ends_with(" ... and 4,312 more"), "{line}");
        // Long reasons.
        let long = |file| of("ä.png", &format!("{file}{}", "ö ".repeat(300)));
        let refused: Vec<_> = (0..9).map(long).collect();
        let line = told("not read", &refused).unwrap();
        assert!(line.chars().count() < 700 && line.contains(" ... ... and "), "{line}");
        assert!(told("not read", &refused[..1]).unwrap().chars().count() < 700);
        let refused: Vec<_> = (0..4322).map(|file| of("a.png", &format!("fault {file}"))).collect();
        let faults = Faults { images: vec![of("a", "x")], masks: refused, ..Faults::default() };
        assert_eq!(
            faults.summary("out".as_ref()).unwrap(),
            "1 file not read, 4,322 masks not compared: each with its reason in out/not-read.csv"
        );
        assert_eq!(Faults::default().summary("out".as_ref()), None);
    }
}
