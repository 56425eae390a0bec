//! Which samples are neighbouring slices of one volume.

/// Indices by volume, each in the order of its slices: the natural order of names, in which 10
/// comes after 9. The images of a group within one folder, or one file's slices, are a volume.
pub(super) fn volumes(places: impl Iterator<Item = (String, String)>) -> Vec<Vec<usize>> {
    let mut order: Vec<(String, String, usize)> =
        places.enumerate().map(|(index, (group, name))| (group, name, index)).collect();
    let key = |(group, name, index): &(String, String, usize)| {
        (group.clone(), within(name).to_string(), natural(name), *index)
    };
    order.sort_by_cached_key(key);
    let same = |(group, name, _): &(String, String, usize),
                (other, next, _): &(String, String, usize)| {
        group == other && within(name) == within(next)
    };
    order.chunk_by(same).map(|volume| volume.iter().map(|(_, _, index)| *index).collect()).collect()
}

/// The file of a slice `file#number`, else the folder of an image.
fn within(name: &str) -> &str {
    let parts = name.rsplit_once('#').or_else(|| name.rsplit_once('/'));
    parts.map_or("", |(within, _)| within)
}

/// A key by which names sort with their numbers by value.
fn natural(name: &str) -> Vec<(bool, usize, Vec<u8>)> {
    let parts = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    parts
        .map(|part| match part.first() {
            Some(digit) if digit.is_ascii_digit() => {
                let digits: Vec<u8> =
                    part.iter().copied().skip_while(|digit| *digit == b'0').collect();
                (true, digits.len(), digits)
            }
            _ => (false, 0, part.to_vec()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value_and_folders_and_files_stay_apart() {
        let names = ["a/s10.png", "a/s9.png", "b/s1.png", "a/s009b.png", "v.nii#2", "v.nii#10"];
        let places = names.iter().map(|name| ("p".to_string(), (*name).to_string()));
        assert_eq!(volumes(places), [vec![1, 3, 0], vec![2], vec![4, 5]]);
        assert!(volumes(std::iter::empty()).is_empty());
    }
}
