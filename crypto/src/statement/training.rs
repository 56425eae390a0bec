//! The training plan that a study pins: what all sites must train alike.
//!
//! The protocol does not know what a setting means, but for how many rounds there are to be; it sees
//! to it that all sites sign the same ones. A site's trainer compares its own plan with them, name by
//! name.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::wire::canonical::{self, Canonical, canonical};

/// Most settings of a plan.
pub const MAX_SETTINGS: usize = 64;
/// Most bytes of a setting's name.
pub const MAX_SETTING_NAME: usize = 64;
/// Most bytes of a setting's value.
pub const MAX_SETTING_VALUE: usize = 1024;

/// One setting of a training plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What is set, as in `classes`.
    pub name: String,
    /// To what, as in `["normal","pneumonia"]`.
    pub value: String,
}
canonical!(Setting { name, value });

/// What a study says on training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Training {
    /// Nothing: the sites train with another framework, and nothing but their word says that they
    /// train alike.
    None,
    /// All of these settings, ascending by name.
    Plan(Vec<Setting>),
}

impl Canonical for Training {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => 0u8.encode(out),
            Self::Plan(settings) => {
                1u8.encode(out);
                settings.encode(out);
            }
        }
    }
}

/// A training plan that no study can pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainingError {
    /// No or too many settings.
    #[error(
        "expected 1 to {MAX_SETTINGS} settings in the training plan, got {0}; a study that trains with another framework pins none"
    )]
    Count(usize),
    /// A name of a wrong length.
    #[error("expected names of 1 to {MAX_SETTING_NAME} bytes in the training plan, got {0:?}")]
    Name(String),
    /// Names out of order or twice.
    #[error(
        "the training plan's names must be strictly ascending; {after:?} stands after {before:?}"
    )]
    Order {
        /// The one before.
        before: String,
        /// The one after it.
        after: String,
    },
    /// A value that is too long.
    #[error(
        "the training plan's {name:?} takes {got} bytes, expected at most {MAX_SETTING_VALUE}; shorten it (class names, for instance)"
    )]
    Value {
        /// The setting.
        name: String,
        /// Bytes of its value.
        got: usize,
    },
}

/// A setting in which a site's plan is not the study's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name}: the study says {}, this site {}",
    shown(.study.as_deref()), shown(.own.as_deref())
)]
pub struct TrainingDifference {
    /// The setting.
    pub name: String,
    /// The study's value, if it has one.
    pub study: Option<String>,
    /// This site's, if it has one.
    pub own: Option<String>,
}

fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("nothing")
}

impl Training {
    /// Refuses plans that are too long or whose settings are out of order.
    pub(super) fn check(&self) -> Result<(), TrainingError> {
        let Self::Plan(settings) = self else { return Ok(()) };
        if settings.is_empty() || settings.len() > MAX_SETTINGS {
            return Err(TrainingError::Count(settings.len()));
        }
        let mut previous: Option<&str> = None;
        for Setting { name, value } in settings {
            if name.is_empty() || name.len() > MAX_SETTING_NAME {
                return Err(TrainingError::Name(name.chars().take(MAX_SETTING_NAME).collect()));
            }
            if let Some(before) = previous.filter(|before| *before >= name.as_str()) {
                let (before, after) = (before.to_owned(), name.clone());
                return Err(TrainingError::Order { before, after });
            }
            if value.len() > MAX_SETTING_VALUE {
                return Err(TrainingError::Value { name: name.clone(), got: value.len() });
            }
            previous = Some(name);
        }
        Ok(())
    }

    /// The plan's digest, under the label `training-plan`; none where there is no plan.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::None => None,
            Self::Plan(settings) => Some(canonical::digest("training-plan", settings)),
        }
    }

    /// The settings, none where there is no plan.
    pub fn settings(&self) -> &[Setting] {
        match self {
            Self::None => &[],
            Self::Plan(settings) => settings,
        }
    }

    /// The rounds of the plan; none where there is no plan, or one of a program that says it
    /// otherwise.
    pub fn rounds(&self) -> Option<u32> {
        let rounds = self.settings().iter().find(|setting| setting.name == "rounds")?;
        rounds.value.parse().ok()
    }

    /// Every setting in which a site's own plan differs from this, the study's, in the order of
    /// their names.
    pub fn differences(&self, own: &Self) -> Vec<TrainingDifference> {
        let value = |of: &Self, name: &str| {
            let setting = of.settings().iter().find(|setting| setting.name == name);
            setting.map(|setting| setting.value.clone())
        };
        let both = self.settings().iter().chain(own.settings());
        let mut names: Vec<&str> = both.map(|setting| setting.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let difference = |name: &str| TrainingDifference {
            name: name.to_owned(),
            study: value(self, name),
            own: value(own, name),
        };
        let all = names.into_iter().map(difference);
        all.filter(|difference| difference.study != difference.own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: &[(&str, &str)]) -> Training {
        let setting = |(name, value): &(&str, &str)| Setting {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Training::Plan(settings.iter().map(setting).collect())
    }

    #[test]
    fn plans_have_bounds_and_an_order() {
        assert_eq!(Training::None.check(), Ok(()));
        assert_eq!(plan(&[("a", ""), ("b", "1")]).check(), Ok(()));
        assert_eq!(plan(&[]).check(), Err(TrainingError::Count(0)));
        assert_eq!(plan(&[("a", "1"); 65]).check(), Err(TrainingError::Count(65)));
        let order = |before: &str, after: &str| TrainingError::Order {
            before: before.to_owned(),
            after: after.to_owned(),
        };
        assert_eq!(plan(&[("b", ""), ("a", "")]).check(), Err(order("b", "a")));
        assert_eq!(plan(&[("a", "1"), ("a", "2")]).check(), Err(order("a", "a")));
        assert_eq!(plan(&[("", "1")]).check(), Err(TrainingError::Name(String::new())));
        let long = "n".repeat(65);
        assert!(matches!(plan(&[(&long, "1")]).check(), Err(TrainingError::Name(_))));
        let long = "v".repeat(1025);
        let error = plan(&[("classes", &long)]).check().unwrap_err().to_string();
        assert!(error.contains("\"classes\" takes 1025 bytes, expected at most 1024"), "{error}");
    }

    #[test]
    fn differences_name_the_setting_and_both_values() {
        let study = plan(&[("classes", r#"["a","b"]"#), ("epochs", "2"), ("side", "32")]);
        let own = plan(&[("classes", r#"["b","a"]"#), ("mu", "0.1"), ("side", "32")]);
        assert_eq!(study.differences(&study), []);
        let found: Vec<String> = study.differences(&own).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                r#"classes: the study says ["a","b"], this site ["b","a"]"#,
                "epochs: the study says 2, this site nothing",
                "mu: the study says nothing, this site 0.1",
            ]
        );
        assert_eq!(Training::None.differences(&study).len(), 3);
        assert_ne!(study.digest(), own.digest());
        assert_eq!(Training::None.digest(), None);
    }

    #[test]
    fn how_it_stands_in_json() {
        let text = r#"{"plan":[{"name":"side","value":"32"}]}"#;
        assert_eq!(serde_json::to_string(&plan(&[("side", "32")])).unwrap(), text);
        assert_eq!(serde_json::from_str::<Training>(text).unwrap(), plan(&[("side", "32")]));
        assert_eq!(serde_json::to_string(&Training::None).unwrap(), r#""none""#);
    }
}
