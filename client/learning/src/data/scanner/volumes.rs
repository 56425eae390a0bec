//! Which samples are neighbouring slices of one volume.

/// Indices by volume, each in the order of its slices.
///
/// The slices of a file are a volume, as are a group's images whose names differ in their last
/// number only, by which they are ordered: 10 comes after 9. X-rays of one patient that are called
/// by anything else are not averaged, since they are no slices.
pub(super) fn volumes(places: impl Iterator<Item = (String, String)>) -> Vec<Vec<usize>> {
    let mut slices: Vec<Slice> = places
        .enumerate()
        .map(|(index, (group, name))| {
            let (volume, number) = split(&name);
            Slice { volume: (group, volume), number, index }
        })
        .collect();
    slices.sort();
    let volumes = slices.chunk_by(|one, next| one.volume == next.volume);
    volumes.map(|volume| volume.iter().map(|slice| slice.index).collect()).collect()
}

/// A sample's place; sorts by volume, then by number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slice {
    /// The group, and the name without its last number.
    volume: (String, String),
    /// Digits of the last number without leading zeros, more of them being more.
    number: (usize, String),
    index: usize,
}

/// The volume's name, which is the sample's without its last number and a file's extension, and the
/// number.
fn split(name: &str) -> (String, (usize, String)) {
    let stem = match name.rsplit_once('.') {
        // What stands behind `#` is a slice; an extension has letters and no folders.
        Some((stem, extension))
            if !name.contains('#')
                && !extension.contains('/')
                && extension.contains(|c: char| c.is_ascii_alphabetic()) =>
        {
            stem
        }
        _ => name,
    };
    let rest = stem.trim_end_matches(|c: char| !c.is_ascii_digit());
    let before = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = rest.strip_prefix(before).unwrap_or_default().trim_start_matches('0');
    let after = stem.strip_prefix(rest).unwrap_or_default();
    // The number's place is marked, so that `1a` and `a1` are of two volumes.
    (format!("{before}\0{after}"), (digits.len(), digits.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_sort_by_number_and_other_names_stay_apart() {
        let names = [
            "a/s10.png",
            "a/s009.png",
            "b/s11.png",
            "v.nii#2",
            "v.nii#10",
            "han_fff13f3a.png",
            "han_b343e657.png",
            "frontal.png",
            "lateral.png",
            "1.2.840.12",
            "1.2.840.9",
            "x2.jp2",
            "x1.jp2",
        ];
        let places = names.iter().map(|name| ("p".to_string(), (*name).to_string()));
        let mut found = volumes(places);
        found.sort();
        let expected: [&[usize]; 9] =
            [&[1, 0], &[2], &[3, 4], &[5], &[6], &[7], &[8], &[10, 9], &[12, 11]];
        assert_eq!(found, expected);
        assert!(volumes(std::iter::empty()).is_empty());
        let two = ["p", "q"].map(|group| (group.to_string(), "s1.png".to_string()));
        assert_eq!(volumes(two.into_iter()), [[0], [1]]);
    }
}
