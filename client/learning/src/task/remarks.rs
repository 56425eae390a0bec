//! What a person should know of a study's data before training starts.

use super::contract::Task;
use crate::data::{Dataset, Sample, SiteData, left_out_summary};

/// Lines on what is left out, on columns that are not used, and on sites of one class; none where
/// there is nothing to say.
#[must_use]
pub fn remarks(task: &dyn Task, dataset: &Dataset) -> Vec<String> {
    let left_out = left_out_summary(&dataset.left_out).map(|text| format!("left out: {text}"));
    let columns = Some(dataset.unused_columns.join(", ")).filter(|names| !names.is_empty());
    let columns = columns.map(|names| format!("columns of the table that are not used: {names}"));
    let training = one_class(task, dataset, |site| &site.train).map(|sites| {
        format!(
            "training images of one class: {sites}; alone such a site learns to name nothing else"
        )
    });
    let test = one_class(task, dataset, |site| &site.test).map(|sites| {
        format!(
            "test images of one class: {sites}; scores that tell classes apart are undefined there"
        )
    });
    [left_out, columns, training, test].into_iter().flatten().collect()
}

/// The sites at which these samples are of one class, each with it.
fn one_class(
    task: &dyn Task,
    dataset: &Dataset,
    samples: impl Fn(&SiteData) -> &[Sample],
) -> Option<String> {
    let of = |site: &SiteData| Some(format!("{} ({})", site.site, task.one_class(samples(site))?));
    let sites: Vec<String> = dataset.sites.iter().filter_map(of).collect();
    match sites.as_slice() {
        [] => None,
        [first, ..] if sites.len() > 8 => Some(format!("{} sites, the first {first}", sites.len())),
        sites => Some(sites.join(", ")),
    }
}
