//! Choices by name.

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use ringfence_learning::{ModelName, TaskName};

/// A choice's name, as it stands on the command line.
pub fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The parser of a task's name; help lists all of them.
pub(crate) fn task() -> impl TypedValueParser<Value = TaskName> {
    let all = TaskName::ALL.map(|task| PossibleValue::new(task.name()).help(task.about()));
    PossibleValuesParser::new(all).try_map(|name| name.parse::<TaskName>())
}

/// The parser of a model's name; help lists all of them.
pub(crate) fn model() -> impl TypedValueParser<Value = ModelName> {
    let all = ModelName::ALL.map(|model| PossibleValue::new(model.name()).help(model.about()));
    PossibleValuesParser::new(all).try_map(|name| name.parse::<ModelName>())
}
