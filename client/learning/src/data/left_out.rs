//! What of the data takes no part, and why.

use std::collections::BTreeMap;
use std::fmt;

use ringfence_words::{counted, listed_by};

use super::dataset::Split;

/// Images of one site that take no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The site; none where the data name no site.
    pub site: Option<String>,
    /// How many images.
    pub images: usize,
    /// How many of each label.
    pub labels: BTreeMap<u32, usize>,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why images take no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutReason {
    /// The site has a single patient or volume, and no split.
    OneGroup,
    /// The site has no image in this split of the data's own.
    NoSplit(Split),
    /// The site is smaller than the so many that were asked for.
    Smaller(usize),
    /// The site keeps so many images at most.
    Cap(usize),
}

impl LeftOut {
    /// Whose images they are, in words.
    #[must_use]
    pub fn whose(&self) -> String {
        match &self.site {
            Some(site) => format!("site `{site}`"),
            None => "the data, which name no site".to_owned(),
        }
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneGroup => f.write_str(
                "one patient or volume only, and needs one to train on and another to test on",
            ),
            Self::NoSplit(split) => write!(
                f,
                "no image in the split `{}`; give it some, or divide anew (--ignore-split)",
                split.name()
            ),
            Self::Smaller(asked) => write!(f, "smaller than the {} (--sites)", largest(*asked)),
            Self::Cap(most) => write!(f, "beyond {most} images a site (--max-per-site)"),
        }
    }
}

/// The sites that are kept, in words.
pub(super) fn largest(sites: usize) -> String {
    if sites == 1 { "largest site".to_owned() } else { format!("{sites} largest sites") }
}

/// What is left out in one line: counts for each reason, with the first site of each.
#[must_use]
pub fn summary(left_out: &[LeftOut]) -> Option<String> {
    let mut reasons = BTreeMap::<LeftOutReason, Vec<&LeftOut>>::new();
    left_out.iter().for_each(|part| reasons.entry(part.reason).or_default().push(part));
    let lines = reasons.into_iter().filter_map(|(reason, parts)| {
        let images: usize = parts.iter().map(|part| part.images).sum();
        let example = parts.first()?;
        let at = match (parts.len(), &example.site) {
            (2.., Some(first)) => {
                format!("{}, the first `{first}`", counted(parts.len() as u64, "site"))
            }
            _ => example.whose(),
        };
        Some(format!("{} ({at}): {reason}", counted(images as u64, "image")))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| listed_by("; ", lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_sites_are_one_line() {
        let part = |site: usize, reason| LeftOut {
            site: Some(format!("s{site:03}")),
            images: 2,
            labels: BTreeMap::new(),
            reason,
        };
        let mut all: Vec<LeftOut> = (0..108).map(|s| part(s, LeftOutReason::OneGroup)).collect();
        all.push(part(200, LeftOutReason::NoSplit(Split::Test)));
        assert_eq!(
            summary(&all).unwrap(),
            "216 images (108 sites, the first `s000`): one patient or volume only, and needs one \
             to train on and another to test on; 2 images (site `s200`): no image in the split \
             `test`; give it some, or divide anew (--ignore-split)"
        );
        assert_eq!(summary(&[]), None);
        let smaller = |kept| LeftOutReason::Smaller(kept).to_string();
        assert_eq!(smaller(3), "smaller than the 3 largest sites (--sites)");
        assert_eq!(smaller(1), "smaller than the largest site (--sites)");
        let nameless = LeftOut { site: None, ..part(0, LeftOutReason::OneGroup) };
        let said = summary(&[nameless]).unwrap();
        assert!(said.starts_with("2 images (the data, which name no site): one patient"), "{said}");
    }
}
