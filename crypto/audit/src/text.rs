//! The report as text.

use std::fmt::Write as _;

use ringfence_crypto::letters::is_unseen;

use crate::facts::facts;
use crate::report::{Line, Report, Subject, Verdict};
use crate::words::{Answer, answers, count};

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
        for (name, value) in round.summary.iter().flat_map(facts).skip(1) {
            writeln!(out, "        {}: {value}", name.to_lowercase())?;
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
    let of = |verdict| report.all().filter(|(_, line)| line.verdict == verdict).count();
    let (all, faults) = (report.all().count(), of(Verdict::False));
    let (missing, gone) = (of(Verdict::Missing), of(Verdict::Gone));
    let all = count(all, "check");
    match report.verdict {
        Verdict::False => format!("{faults} of {all} found something false."),
        Verdict::Missing => format!(
            "Nothing was found to be false; {missing} of {all} could not be made, for what they need is not in the folder."
        ),
        Verdict::Gone => format!(
            "All is proven that can be{}: the bodies of {} are not here, since the operator keeps them no longer, as the folder says.",
            as_of(report),
            count(gone, "round")
        ),
        Verdict::Pending => format!("All is proven as far as the study has come{}.", as_of(report)),
        Verdict::Proven => format!("All {all} are proven{}.", as_of(report)),
    }
}

/// Of which state of the study that is, and what was left out: a folder cannot show what came later.
fn as_of(report: &Report) -> String {
    let rounds = report.rounds.len();
    let rounds = match report.study.training.rounds() {
        Some(planned) => {
            format!("{rounds} of {}", count(planned as usize, "planned round"))
        }
        None => count(rounds, "round"),
    };
    let size = report.checkpoint.map_or(0, |checkpoint| checkpoint.size);
    let sums = match report.all().any(|(_, line)| line.check == Subject::Sum) {
        true => "",
        false => "; no sum was added up again",
    };
    format!(", for the log as it stood at {size} statements, with {rounds}{sums}")
}

/// A stranger's lines, indented.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("    {}\n", shown(line))).collect()
}

/// A stranger's text without what would move a terminal's cursor, turn what stands beside it, or not be
/// seen.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|letter| if is_unseen(letter) { '\u{fffd}' } else { letter }).collect()
}
