//! What a network asks of its widths, its images and its task.

use super::name::ModelName;
use crate::error::LearnError;
use crate::task::name::TaskName;

/// The refusal of a model for a task that it does not serve.
pub(crate) fn misfit(model: ModelName, task: TaskName) -> LearnError {
    let fitting: Vec<&str> = ModelName::for_task(task).into_iter().map(ModelName::name).collect();
    LearnError::Model(format!(
        "the task `{task}` expected one of the models {}, found `{model}`",
        fitting.join(", ")
    ))
}

/// Checks channel widths: at least one, each a positive multiple of the number of groups.
pub(super) fn check_widths(widths: &[usize], groups: usize) -> Result<(), LearnError> {
    if widths.is_empty() || widths.len() > 8 {
        let found = widths.len();
        return Err(LearnError::Model(format!("expected 1 to 8 channel widths, found {found}")));
    }
    match widths.iter().find(|width| **width == 0 || !width.is_multiple_of(groups)) {
        None => Ok(()),
        Some(width) => Err(LearnError::Model(format!(
            "expected channel widths that are positive multiples of {groups}, found {width}"
        ))),
    }
}

/// Checks that images of this side can be halved as often as the model does.
pub(crate) fn check_side(side: usize, multiple: usize) -> Result<(), LearnError> {
    if side > 0 && side.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(LearnError::Model(format!(
        "expected images whose side is a multiple of {multiple}, found {side}; choose such a --side"
    )))
}

/// Checks that images are grey or in colour.
pub(super) fn check_channels(channels: usize) -> Result<(), LearnError> {
    if [1, 3].contains(&channels) {
        return Ok(());
    }
    Err(LearnError::Model(format!(
        "expected images of 1 channel (grey) or 3 (colour), found {channels}"
    )))
}

/// Checks that there is something to tell apart.
pub(super) fn check_classes(classes: usize) -> Result<(), LearnError> {
    if classes >= 2 {
        return Ok(());
    }
    Err(LearnError::Model(format!("expected at least two classes, found {classes}")))
}
