//! What masks show.

use anyhow::ensure;
use ringfence_learning::TaskName;

/// Letters of a name, at most: it stands in captions.
const LETTERS: usize = 24;

/// What lies inside the masks, for captions and summaries; no part of the training plan.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ObjectArg {
    /// What lies inside the masks, as pictures and summaries call it: `lesion`, `vessel`, `nucleus`.
    /// `lesion` of the generated images, `mask` of others unless given.
    #[arg(long, value_name = "NAME", value_parser = object)]
    object: Option<String>,
}

fn object(text: &str) -> Result<String, String> {
    let letters = text.chars().count();
    match (1..=LETTERS).contains(&letters) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected a name of 1 to {LETTERS} letters, got {letters}")),
    }
}

impl ObjectArg {
    /// The name; `generated` says whether the images are.
    ///
    /// # Errors
    /// When one was given for a task without masks.
    pub fn name(&self, task: TaskName, generated: bool) -> anyhow::Result<&str> {
        ensure!(
            self.object.is_none() || task == TaskName::Segmentation,
            "--object would change nothing: it names what masks show, and {task} has none; leave it out"
        );
        Ok(match &self.object {
            Some(object) => object,
            None if generated => "lesion",
            None => "mask",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_show_what_is_named_and_classes_have_none() {
        let named = ObjectArg { object: Some("vessel".to_owned()) };
        assert_eq!(named.name(TaskName::Segmentation, true).unwrap(), "vessel");
        let usual = ObjectArg::default();
        assert_eq!(usual.name(TaskName::Segmentation, true).unwrap(), "lesion");
        assert_eq!(usual.name(TaskName::Segmentation, false).unwrap(), "mask");
        let error = named.name(TaskName::Classification, false).unwrap_err().to_string();
        assert!(error.contains("--object would change nothing"), "{error}");
        assert!(object("").is_err() && object(&"x".repeat(25)).is_err() && object("a\nb").is_err());
    }
}
