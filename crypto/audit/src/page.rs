//! The report as one page of HTML, with nothing in it that is loaded from elsewhere: plain sentences
//! first, each with the checks behind it, then every check.

use std::fmt::{self, Write as _};

use ringfence_crypto::evidence::RoundSummary;

use crate::facts::facts;
use crate::report::{Line, Report, RoundReport, Verdict};
use crate::text::{conclusion, shown};
use crate::words::{Answer, Basis, Behind, Place, Said, answers};

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
    answers(report).iter().try_for_each(|answer| write_answer(answer, out))?;
    writeln!(out, "<section>\n<h2>The checks</h2>")?;
    write_lines(Place::Study, &report.lines, out)?;
    writeln!(out, "</section>")?;
    report.rounds.iter().try_for_each(|round| write_round(round, out))?;
    writeln!(out, "</main>\n</body>\n</html>")
}

/// Sentences, and after each what it rests on.
fn write_answer(answer: &Answer, out: &mut String) -> fmt::Result {
    writeln!(out, "<section>\n<h2>{}</h2>\n<ul>", Escaped(answer.question))?;
    for said in &answer.sentences {
        write_said(said, out)?;
    }
    writeln!(out, "</ul>\n</section>")
}

fn write_said(said: &Said, out: &mut String) -> fmt::Result {
    let class_of_words = if said.withheld { " class=\"withheld\"" } else { "" };
    write!(out, "<li{class_of_words}>{} <span class=\"checks\">", Escaped(&said.words))?;
    match &said.basis {
        Basis::Checks(behind) => {
            behind.iter().try_for_each(|behind| write_behind(behind, out))?;
        }
        other => write!(out, "{}", other.name())?,
    }
    writeln!(out, "</span></li>")
}

fn write_behind(behind: &Behind, out: &mut String) -> fmt::Result {
    let Behind { check, at, verdict } = behind;
    let class = class(*verdict);
    match at {
        Some(place) => {
            write!(out, "<a class=\"{class}\" href=\"#{place}-{check}\">{check}: {verdict}</a> ")
        }
        None => write!(out, "<span class=\"{class}\">{check}: {verdict}</span> "),
    }
}

fn write_round(round: &RoundReport, out: &mut String) -> fmt::Result {
    writeln!(out, "<section>\n<h2>Round {}</h2>", round.round)?;
    if let Some(summary) = &round.summary {
        write_summary(summary, out)?;
    }
    write_lines(Place::Round(round.round), &round.lines, out)?;
    writeln!(out, "</section>")
}

fn write_summary(summary: &RoundSummary, out: &mut String) -> fmt::Result {
    writeln!(out, "<dl>")?;
    for (name, value) in facts(summary) {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(&value))?;
    }
    writeln!(out, "</dl>")
}

fn write_lines(at: Place, lines: &[Line], out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "<table>\n<thead><tr><th scope=\"col\">Check</th><th scope=\"col\">Found</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>"
    )?;
    for line in lines {
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
