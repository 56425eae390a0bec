//! The report as text.

use std::fmt::Write as _;

use crate::report::{Line, Report, Verdict};
use crate::words::{Answer, answers};

/// The report as text, for a terminal: plain sentences, the study's checks, and each round's.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let study = &report.study;
    writeln!(out, "{}, study {} ({})", report.program, shown(&study.name), study.id)?;
    writeln!(out, "{}", conclusion(report))?;
    answers(report).iter().try_for_each(|answer| write_answer(answer, out))?;
    writeln!(out, "\nThe checks")?;
    report.lines.iter().try_for_each(|line| write_line(line, out))?;
    for fork in &report.forks {
        writeln!(out, "\nthe head that {} has seen:\n{}", shown(&fork.seen_by), lines(&fork.seen))?;
        writeln!(out, "the head of this export:\n{}", lines(&fork.here))?;
    }
    for round in &report.rounds {
        writeln!(out)?;
        let state = round.summary.as_ref().map(|summary| summary.state.to_string());
        writeln!(
            out,
            "round {}{}",
            round.round,
            state.map_or(String::new(), |s| format!(", {s}"))
        )?;
        if let Some(summary) = &round.summary {
            for out_of in &summary.excluded {
                writeln!(out, "        left out: {}: {}", out_of.site, out_of.reason)?;
            }
            if !summary.absent.is_empty() {
                let sites: Vec<&str> = summary.absent.iter().map(|site| site.as_str()).collect();
                writeln!(out, "        did not contribute: {}", sites.join(", "))?;
            }
        }
        round.lines.iter().try_for_each(|line| write_line(line, out))?;
    }
    Ok(())
}

/// Sentences, and in brackets what each rests on.
fn write_answer(answer: &Answer, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{}", answer.question)?;
    for said in &answer.sentences {
        let mark = if said.withheld { '!' } else { '-' };
        writeln!(out, "{mark} {} [{}]", shown(&said.words), said.rests_on())?;
    }
    Ok(())
}

fn write_line(line: &Line, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{:<7} {:<16} {}", line.verdict, line.check.name(), shown(&line.words))
}

/// What the report comes to, in one sentence.
pub(crate) fn conclusion(report: &Report) -> String {
    let count = |verdict| report.all().filter(|(_, line)| line.verdict == verdict).count();
    let (all, faults) = (report.all().count(), count(Verdict::False));
    let (missing, gone) = (count(Verdict::Missing), count(Verdict::Gone));
    match report.verdict {
        Verdict::False => format!("{faults} of {all} checks found something false."),
        Verdict::Missing => format!(
            "Nothing was found to be false; {missing} of {all} checks could not be made, for what they need is not in the folder."
        ),
        Verdict::Gone => format!(
            "All is proven that can be: in {gone} checks bodies are gone that the operator keeps no longer."
        ),
        Verdict::Pending => "All is proven as far as the study has come.".to_owned(),
        Verdict::Proven => format!("All {all} checks are proven."),
    }
}

/// A stranger's lines, indented.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("    {}\n", shown(line))).collect()
}

/// A stranger's text without what would move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
