//! The report as one page of HTML, with nothing in it that is loaded from elsewhere: plain sentences
//! first, each with the checks behind it, then every check.

mod sentences;

use std::fmt::{self, Write as _};

use ringfence_crypto::evidence::RoundSummary;

use crate::report::{Line, Report, RoundReport, Verdict};
use crate::text::{conclusion, shown};
use sentences::{Section, sections};

const STYLE: &str = include_str!("page/page.css");

/// The report as a page.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

/// A text that may hold anything, where HTML takes text.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0).chars().try_for_each(|letter| match letter {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    let study = &report.study;
    let name = Escaped(&study.name);
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(
        out,
        "<title>Audit of study {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"
    )?;
    writeln!(out, "<header>\n<h1>Audit of study {name}</h1>")?;
    writeln!(
        out,
        "<p class=\"verdict {}\">{}</p>",
        class(report.verdict),
        Escaped(&conclusion(report))
    )?;
    writeln!(
        out,
        "<p class=\"small\">Study <code>{}</code>. {} sites. Made by {}, offline, from the files of one folder and without a key.</p>\n</header>\n<main>",
        study.id,
        study.sites.len(),
        Escaped(&report.program)
    )?;
    sections(report).iter().try_for_each(|section| write_section(section, report, out))?;
    writeln!(out, "<section>\n<h2>The checks</h2>")?;
    write_lines(None, &report.lines, out)?;
    writeln!(out, "</section>")?;
    report.rounds.iter().try_for_each(|round| write_round(round, out))?;
    writeln!(out, "</main>\n</body>\n</html>")
}

/// Sentences, and after each the checks that it rests on.
fn write_section(section: &Section, report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "<section>\n<h2>{}</h2>\n<ul>", section.title)?;
    for sentence in &section.sentences {
        write!(out, "<li>")?;
        let behind: Vec<_> =
            sentence.checks.iter().filter_map(|check| behind(check, report)).collect();
        // What is not proven is not said to be so.
        if behind.iter().any(|(_, _, found)| matches!(found, Verdict::False | Verdict::Missing)) {
            write!(out, "<strong class=\"false\">Not shown by this folder:</strong> ")?;
        }
        write!(out, "{}", Escaped(&sentence.words))?;
        if !behind.is_empty() {
            write!(out, " <span class=\"checks\">")?;
            for (check, at, found) in behind {
                let class = class(found);
                write!(out, "<a class=\"{class}\" href=\"#{at}-{check}\">{check}: {found}</a> ")?;
            }
            write!(out, "</span>")?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul>\n</section>")
}

/// Where the worst finding of a check stands, and what it is. That a round has not come so far counts
/// only where there is nothing else.
fn behind<'a>(check: &'a str, report: &Report) -> Option<(&'a str, String, Verdict)> {
    let rank = |verdict| if verdict == Verdict::Pending { None } else { Some(verdict) };
    let lines = report.all().filter(|(_, line)| line.check.name() == check);
    let (round, line) = lines.max_by_key(|(_, line)| rank(line.verdict))?;
    Some((check, place(round.map(|round| round.0)), line.verdict))
}

/// What the lines of a round, or of the study, are called in links.
fn place(round: Option<u32>) -> String {
    round.map_or_else(|| "all".to_owned(), |round| round.to_string())
}

fn write_round(round: &RoundReport, out: &mut String) -> fmt::Result {
    writeln!(out, "<section>\n<h2>Round {}</h2>", round.round)?;
    if let Some(summary) = &round.summary {
        write_summary(summary, out)?;
    }
    write_lines(Some(round.round.0), &round.lines, out)?;
    writeln!(out, "</section>")
}

fn write_summary(summary: &RoundSummary, out: &mut String) -> fmt::Result {
    let threshold = &summary.threshold;
    let row = |out: &mut String, name: &str, value: &str| {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(value))
    };
    writeln!(out, "<dl>")?;
    row(out, "State", &summary.state.to_string())?;
    row(out, "Opened by", &format!("{}, {}", summary.initiator, summary.opened_at.utc()))?;
    if let Some(closed_at) = summary.closed_at {
        row(out, "Closed", &closed_at.utc().to_string())?;
    }
    row(out, "In the sum", &format!("{} of {} sites", summary.included.len(), summary.sites))?;
    let endorsed = format!(
        "{} of {} key holders, {} needed",
        summary.endorsed, threshold.holders, threshold.endorsements
    );
    row(out, "Set certified by", &endorsed)?;
    let opened = format!("{} key holders, {} needed", summary.opened.len(), threshold.opening);
    row(out, "Sum opened by", &opened)?;
    for left_out in &summary.excluded {
        row(out, "Left out", &format!("{}: {}", left_out.site, left_out.reason))?;
    }
    if !summary.absent.is_empty() {
        let sites: Vec<&str> = summary.absent.iter().map(|site| site.as_str()).collect();
        row(out, "Did not contribute", &sites.join(", "))?;
    }
    for named in &summary.named {
        let sites: Vec<&str> = named.sites.iter().map(|site| site.as_str()).collect();
        row(out, "Named in a dispute", &sites.join(", "))?;
    }
    writeln!(out, "</dl>")
}

fn write_lines(round: Option<u32>, lines: &[Line], out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "<table>\n<thead><tr><th scope=\"col\">Check</th><th scope=\"col\">Found</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>"
    )?;
    for line in lines {
        let at = place(round);
        let (name, verdict) = (line.check.name(), line.verdict);
        writeln!(
            out,
            "<tr id=\"{at}-{name}\"><th scope=\"row\">{name}</th><td class=\"{}\">{verdict}</td><td>{}</td></tr>",
            class(verdict),
            Escaped(&line.words)
        )?;
    }
    writeln!(out, "</tbody>\n</table>")
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::Pending => "pending",
        Verdict::Gone => "gone",
        Verdict::Missing => "missing",
        Verdict::False => "false",
    }
}
