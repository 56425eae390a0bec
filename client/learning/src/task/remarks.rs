//! What a person should know of a study's data before training starts.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_words::listed;

use super::contract::Task;
use super::name::TaskName;
use crate::data::{Dataset, SiteData, Split, left_out_summary};

/// Lines on what is left out, on columns that are not used, on how files were read, on classes that no
/// image is of, and on sites that train on one class; none where there is nothing to say. Test images of
/// one class are marked at their scores.
#[must_use]
pub fn remarks(task: &dyn Task, dataset: &Dataset) -> Vec<String> {
    let left_out = left_out_summary(&dataset.left_out).map(|text| format!("left out: {text}"));
    let name = |name: &String| match name.as_str() {
        "" => "one without a name".to_owned(),
        name => name.to_owned(),
    };
    let columns: Vec<String> = dataset.unused_columns.iter().map(name).collect();
    let columns = (!columns.is_empty())
        .then(|| format!("columns of the table that are not used: {}", listed(&columns)));
    let training = one_class(task, dataset).map(|sites| {
        format!(
            "training images of one class: {sites}; alone such a site learns to name nothing else"
        )
    });
    let read = dataset.remarks.iter().cloned();
    let absent = absent_classes(task, dataset);
    [left_out, columns].into_iter().flatten().chain(read).chain(absent).chain(training).collect()
}

/// Classes of which there is no image, or none in a split that others are in: they are neither learnt
/// nor scored there.
fn absent_classes(task: &dyn Task, dataset: &Dataset) -> Vec<String> {
    if task.name() != TaskName::Classification.name() {
        return Vec::new();
    }
    let mut of_split = BTreeMap::<Split, BTreeSet<u32>>::new();
    for (split, sample) in dataset.sites.iter().flat_map(SiteData::samples) {
        of_split.entry(split).or_default().extend(sample.label);
    }
    let all: BTreeSet<u32> = of_split.values().flatten().copied().collect();
    let lacking = |there: &BTreeSet<u32>, within: &dyn Fn(u32) -> bool| {
        let classes = (0..).zip(&dataset.classes);
        let lacking = classes.filter(|(label, _)| !there.contains(label) && within(*label));
        listed(lacking.map(|(_, class)| format!("`{class}`")))
    };
    let whole = ("no image at all", lacking(&all, &|_| true));
    let parts = of_split.iter().map(|(split, there)| {
        let what = match split {
            Split::Train => "no training image",
            Split::Validation => "no validation image",
            Split::Test => "no test image",
        };
        (what, lacking(there, &|label| all.contains(&label)))
    });
    let lines = std::iter::once(whole).chain(parts).filter(|(_, classes)| !classes.is_empty());
    lines.map(|(what, classes)| format!("{what} of these classes: {classes}")).collect()
}

/// The sites whose training images are of one class, each with it.
fn one_class(task: &dyn Task, dataset: &Dataset) -> Option<String> {
    let of = |site: &SiteData| Some(format!("{} ({})", site.site, task.one_class(&site.train)?));
    let sites: Vec<String> = dataset.sites.iter().filter_map(of).collect();
    match sites.as_slice() {
        [] => None,
        sites => Some(listed(sites)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sample;
    use crate::task::Classification;

    #[test]
    fn classes_that_no_image_is_of_are_said_in_the_whole_and_by_split() {
        let sample = |label: &u32| {
            let (name, group) = ("a".into(), "p".into());
            let label = Some(*label);
            Sample { name, group, image: vec![0.5; 256], label, mask: None, own_mask: None }
        };
        let of = |labels: &[u32]| labels.iter().map(sample).collect::<Vec<_>>();
        let classes = ["normal", "covid", "other"].map(String::from).to_vec();
        let task = Classification::light(16, &classes).unwrap();
        let said = |train: &[u32], validation: &[u32], test: &[u32]| {
            let site = SiteData {
                site: "s".into(),
                train: of(train),
                validation: of(validation),
                test: of(test),
            };
            let dataset = Dataset {
                side: 16,
                classes: classes.clone(),
                sites: vec![site],
                left_out: vec![],
                unused_columns: vec![],
                remarks: vec![],
                names_patients: false,
            };
            remarks(&task, &dataset)
        };
        assert!(said(&[0, 1, 2], &[], &[0, 1, 2]).is_empty());
        assert_eq!(said(&[0, 1], &[0, 1], &[0, 1]), ["no image at all of these classes: `other`"]);
        assert_eq!(
            said(&[0, 1], &[1, 2], &[0, 1, 2]),
            [
                "no training image of these classes: `other`",
                "no validation image of these classes: `normal`"
            ]
        );
    }
}
