//! What a person should know of a study's data before training starts.

use super::contract::Task;
use ringfence_words::listed;

use crate::data::{Dataset, SiteData, left_out_summary};

/// Lines on what is left out, on columns that are not used, on how files were read, and on sites that
/// train on one class; none where there is nothing to say. Test images of one class are marked at their scores.
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
    [left_out, columns].into_iter().flatten().chain(read).chain(training).collect()
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
