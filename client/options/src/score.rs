//! Scores in tables, and the mark of those that tell nothing.

/// A score with three places, or that it is undefined.
#[must_use]
pub fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"))
}

/// Scores by their names in one line, and the class of the samples where there is but one.
#[must_use]
pub fn line(scores: &[(String, Option<f64>)], one_class: Option<&str>) -> String {
    let each = scores.iter().map(|(name, value)| format!("{name} {}", score(*value)));
    let of = one_class.map(|class| format!(" (images of one class only: {class})"));
    each.collect::<Vec<_>>().join(", ") + &of.unwrap_or_default()
}

/// A site's name, with a mark where its test images are of one class.
#[must_use]
pub fn marked(site: &str, one_class: Option<&str>) -> String {
    let mark = if one_class.is_some() { "*" } else { "" };
    format!("{site}{mark}")
}

/// What the mark means, below a table: the sites with their class. Empty where there is none.
#[must_use]
pub fn one_class_note<'a>(sites: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let sites: Vec<String> = sites.map(|(site, class)| format!("{site} ({class})")).collect();
    if sites.is_empty() {
        return String::new();
    }
    format!(
        "\n* test images of one class only: {}. Always naming it is perfect there: scores that tell\n  classes apart are undefined and no part of the mean, and accuracy says little.\n",
        sites.join(", ")
    )
}
