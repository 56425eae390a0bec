//! The risks that the study bears on, and what is left of each.

use std::fmt::{self, Write as _};

use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit};

use super::Blank;
use crate::report::{Report, StudyReport};

/// A risk, what the study does about it, and what is left.
struct Risk {
    name: &'static str,
    does: String,
    left: String,
}

pub(super) fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "## 3. Risks to the persons concerned (article 35(7)(c))\n")?;
    writeln!(
        out,
        "Whether what the study does was kept to is in section 4. How likely and how severe each risk is depends on the data.\n"
    )?;
    for Risk { name, does, left } in risks(&report.study) {
        writeln!(out, "### {name}\n")?;
        writeln!(out, "- What the study does: {does}")?;
        writeln!(out, "- What is left: {left}")?;
        writeln!(out, "- {}\n", Blank("likelihood and severity, before and after."))?;
    }
    writeln!(out, "### Others\n")?;
    writeln!(
        out,
        "- {}\n",
        Blank(
            "risks of the data at their site, of the model in use (errors, bias), and of what the study is for."
        )
    )
}

fn risks(study: &StudyReport) -> Vec<Risk> {
    let (c, n) = (study.collusion, study.sites.len());
    let risk = |name, does: String, left: String| Risk { name, does, left };
    vec![
        risk(
            "The server's operator, or an intruder there, reads what one site sent",
            "updates are encrypted at the site under keys that are not on the server.".to_owned(),
            "who took part, when, and the model's size are seen there.".to_owned(),
        ),
        risk(
            "Sites work together, or with the operator, against one site",
            format!("up to {c} of {n} sites may, and learn nothing but the sums."),
            format!(
                "{} or more might. Sites under one management or administration count together.",
                c + 1
            ),
        ),
        risk(
            "A sum or the model tells of a person whose data were in it",
            bound(study.privacy),
            "what the noise, if any, does not hide; the model where it is used.".to_owned(),
        ),
        risk(
            "Sums of rounds with different members single one member out",
            format!(
                "each sum is over at least {} sites, and one is opened a model.",
                study.min_sites
            ),
            "what the difference of two sums tells, beyond the noise, if any.".to_owned(),
        ),
        risk(
            "Somebody records what is sent, and breaks the encryption in years",
            "encryption was chosen to hold against quantum computers, too.".to_owned(),
            "an attack on it that nobody knows today.".to_owned(),
        ),
        risk(
            "A person withdraws after training",
            "the person's data are left out of all training from then on.".to_owned(),
            "sums that are open, and models, cannot be undone.".to_owned(),
        ),
        risk(
            "A site trains falsely, and the model harms somebody",
            "updates are clipped, so that one site moves the mean within bounds only.".to_owned(),
            "harm within the bounds; nothing proves that a site trained honestly.".to_owned(),
        ),
    ]
}

fn bound(privacy: PrivacyPolicy) -> String {
    match privacy {
        PrivacyPolicy::None => "nothing: it adds no noise.".to_owned(),
        PrivacyPolicy::SetsApart => {
            "nothing, as to what one sum tells: it adds no noise. What several tell together is of whole groups of sites."
                .to_owned()
        }
        PrivacyPolicy::RecordLevel(policy) => {
            let unit = match policy.unit {
                PrivacyUnit::Record => "record; a person with several records is protected less",
                PrivacyUnit::Patient { .. } => "patient",
            };
            format!(
                "noise in training, epsilon {} at delta {} for each {unit}.",
                policy.epsilon, policy.delta
            )
        }
        PrivacyPolicy::SiteLevel(policy) => format!(
            "noise in the sum, epsilon {} at delta {} for each site; persons are protected as part of their site.",
            policy.epsilon, policy.delta
        ),
    }
}
