//! A draft of a data protection impact assessment: all that the study file and the report state, in
//! the order of GDPR article 35(7), and a marked blank for everything that only the controller knows.

mod risks;

use std::fmt::{self, Write as _};

use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit, Training, Weighting};

use crate::report::{Report, StudyReport, Subject, Verdict};
use crate::text::{conclusion, shown};
use crate::words::{Answer, answers};

/// The draft, in Markdown.
pub fn dpia(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

/// A text that may hold anything, where Markdown takes text or a cell of a table.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0).chars().try_for_each(|letter| match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => write!(f, "\\{letter}"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            other => f.write_char(other),
        })
    }
}

/// What nobody but the controller can know.
struct Blank(&'static str);

impl fmt::Display for Blank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "**To be filled by the controller:** {}", self.0)
    }
}

/// A line of a list.
fn item(out: &mut String, what: impl fmt::Display) -> fmt::Result {
    writeln!(out, "- {what}")
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    let study = &report.study;
    writeln!(out, "# Data protection impact assessment: study {}\n", Plain(&study.name))?;
    writeln!(
        out,
        "A draft by {}. What is filled in comes from the study file that all {} sites signed, and from the audit of this study's export. It is evidence and no legal advice; whether an assessment is due, and what follows from it, the controller decides.\n",
        Plain(&report.program),
        study.sites.len()
    )?;
    write_parties(report, out)?;
    write_processing(report, out)?;
    write_necessity(study, out)?;
    risks::write(report, out)?;
    write_measures(&answers(report), out)?;
    write_opinions(out)
}

fn write_parties(report: &Report, out: &mut String) -> fmt::Result {
    let study = &report.study;
    let sites: Vec<&str> = study.sites.iter().map(|site| site.as_str()).collect();
    item(out, format_args!("Study: {}, digest `{}`", Plain(&study.name), study.id))?;
    item(out, format_args!("Study file made: {}", study.created_at.utc()))?;
    item(out, format_args!("Sites, each of which signed it: {}", sites.join(", ")))?;
    item(out, format_args!("State of the audit: {}", Plain(&conclusion(report))))?;
    if let Some(checkpoint) = &report.checkpoint {
        item(out, format_args!("The log that it is of: {checkpoint}"))?;
    }
    item(
        out,
        Blank("controller or joint controllers (articles 4(7), 26), and which site is which."),
    )?;
    item(out, Blank("data protection officers, and who wrote this assessment, when."))?;
    item(out, Blank("who runs the server, under which contract (article 28)."))?;
    writeln!(out)
}

fn write_processing(report: &Report, out: &mut String) -> fmt::Result {
    let study = &report.study;
    writeln!(out, "## 1. The processing and its purposes (article 35(7)(a))\n")?;
    item(out, Blank("purposes, and the interest pursued where that is the ground."))?;
    item(out, Blank("legal ground (articles 6 and 9), and ethics approval."))?;
    item(
        out,
        Blank("whose data, which categories of data, of which years, with which exclusions."),
    )?;
    item(
        out,
        "What is done: each site trains a common model on its own data and sends the change of the model, encrypted. A server adds what all sites sent, without being able to read it. Key holders among the sites open the sum, and each site applies the mean to its model.",
    )?;
    item(out, format_args!("The model has {} numbers.", study.values))?;
    match &study.weighting {
        Weighting::Equal => {
            item(out, "Every site counts the same; the study file states no number of samples.")?;
            item(out, Blank("how many persons and records, at each site."))?;
        }
        Weighting::SampleCounts(counts) => {
            item(out, "Sites count by their number of samples, which the study file states:")?;
            for (site, count) in study.sites.iter().zip(counts) {
                writeln!(out, "  - {site}: {count}")?;
            }
            item(out, Blank("of how many persons these samples are."))?;
        }
    }
    match &study.training {
        Training::None => {
            item(out, "The study file pins no training: each site trains by its own program.")?;
            item(out, Blank("what is trained, and by which program, at each site."))?;
        }
        Training::Plan(settings) => {
            item(out, "The study file pins the training for all sites:")?;
            for setting in settings {
                writeln!(out, "  - {}: {}", Plain(&setting.name), Plain(&setting.value))?;
            }
        }
    }
    let rounds = report.rounds.len();
    item(
        out,
        format_args!(
            "Rounds so far: {rounds}. A round takes contributions for {} s at most.",
            study.longest_round_seconds
        ),
    )?;
    item(
        out,
        "Recipients of the sums and of the model: the sites. Recipient of encrypted updates, and of who took part when: the server's operator.",
    )?;
    item(out, Blank("who else is given the model; transfers to third countries (chapter V)."))?;
    write_retention(report, out)?;
    writeln!(out)
}

fn write_retention(report: &Report, out: &mut String) -> fmt::Result {
    let sums = report.all().filter(|(_, line)| line.check == Subject::Sum);
    let gone = sums.filter(|(_, line)| line.verdict == Verdict::Gone).count();
    if gone > 0 {
        item(
            out,
            format_args!(
                "Encrypted updates of {gone} rounds are deleted, as the server's operator says."
            ),
        )?;
    }
    item(
        out,
        Blank(
            "for how many days the operator keeps encrypted updates (`--keep-bodies-days`), and how long each site keeps data, state and model.",
        ),
    )
}

fn write_necessity(study: &StudyReport, out: &mut String) -> fmt::Result {
    writeln!(out, "## 2. Necessity and proportionality (article 35(7)(b))\n")?;
    item(out, "Data stay at their site; what leaves it is an encrypted change of the model.")?;
    item(
        out,
        format_args!(
            "Only sums over at least {} sites are opened, by at least {} of {} key holders.",
            study.min_sites, study.opening, study.holders
        ),
    )?;
    item(out, policy(study.privacy))?;
    item(out, Blank("why the purpose needs these data, and no less would do."))?;
    item(
        out,
        Blank(
            "how persons are informed (articles 13 and 14), and how they use their rights (articles 15 to 22). A sum that is open does not come apart: see section 4 on withdrawal.",
        ),
    )?;
    item(out, Blank("how accuracy and fairness of the model are judged."))?;
    writeln!(out)
}

/// What the study promises of its sums.
fn policy(privacy: PrivacyPolicy) -> String {
    match privacy {
        PrivacyPolicy::None => {
            "No differential privacy: the study adds no noise to what is opened.".to_owned()
        }
        PrivacyPolicy::SetsApart => {
            "No differential privacy: the study adds no noise to what is opened. Every sum is over all or none of each group of sites, so that several sums together tell of whole groups only."
                .to_owned()
        }
        PrivacyPolicy::RecordLevel(policy) => format!(
            "Differential privacy in training: at most epsilon {} at delta {} over the whole study, for each {}; noise multiplier {}, clip {}, rate {}, {} steps a round.",
            policy.epsilon,
            policy.delta,
            match policy.unit {
                PrivacyUnit::Record => "record",
                PrivacyUnit::Patient { .. } => "patient",
            },
            policy.noise_multiplier,
            policy.clip,
            policy.rate,
            policy.steps
        ),
        PrivacyPolicy::SiteLevel(policy) => format!(
            "Differential privacy of whole sites: at most epsilon {} at delta {} over the whole study, for each site; noise multiplier {}, clip {}.",
            policy.epsilon, policy.delta, policy.noise_multiplier, policy.clip
        ),
    }
}

/// The report's own sentences, with the checks that show them.
fn write_measures(answers: &[Answer], out: &mut String) -> fmt::Result {
    writeln!(out, "## 4. Measures, and the evidence for each (article 35(7)(d))\n")?;
    writeln!(
        out,
        "The sentences of the audit. In brackets stand the checks behind each; a sentence that begins with *This folder does not show* is a measure without evidence.\n"
    )?;
    for answer in answers {
        writeln!(out, "### {}\n", answer.question)?;
        for said in &answer.sentences {
            item(out, format_args!("{} ({})", Plain(&said.words), said.rests_on()))?;
        }
        writeln!(out)?;
    }
    item(
        out,
        Blank(
            "measures at each site: access, encryption of disks, keys under a passphrase, training of staff.",
        ),
    )?;
    item(out, Blank("measures at the server: who administers it, backups, incident response."))?;
    writeln!(out)
}

fn write_opinions(out: &mut String) -> fmt::Result {
    writeln!(out, "## 5. Opinions and decision\n")?;
    for blank in [
        "advice of the data protection officer (article 35(2)).",
        "views of the persons concerned or their representatives (article 35(9)), or why they were not sought.",
        "what risk remains, who accepts it, and whether the authority is to be consulted first (article 36).",
        "when this is looked at again (article 35(11)): at the latest when the study file's digest is another one, or a check is no longer proven.",
    ] {
        item(out, Blank(blank))?;
    }
    Ok(())
}
