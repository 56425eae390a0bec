//! The report as a page for a browser: one file beside the sheets, nothing from the network.

use std::fmt::Write;

use super::report::{Report, Summary, number};
use super::sheet;

const TITLE: &str = "What can be found in what leaves a site?";
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;\
padding:0 1rem;color:#20242c;background:#fafaf8}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}th:last-child,td:last-child{text-align:left}\
.good{color:#167a3e}.bad{color:#be2424;font-weight:bold}\
.sheet{overflow-x:auto}.sheet img{height:40rem}";

/// The page.
///
/// # Errors
/// Writing to a text does not fail.
pub(super) fn html(report: &Report) -> anyhow::Result<String> {
    let mut page = String::new();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{TITLE}</title>\
         <style>{STYLE}</style><h1>{TITLE}</h1>"
    )?;
    page.push_str(match report.generated {
        true => "<p>The images are generated phantoms, no patients.</p>",
        false => "<p>This page and its pictures show images from the data: keep them as such.</p>",
    });
    controls(&mut page, report)?;
    for (attack, victim) in &report.victims {
        let lines: Vec<&Summary> =
            report.summary.iter().filter(|line| line.attack == *attack).collect();
        if !lines.is_empty() {
            write!(page, "<h2>{attack}, on the model {victim}</h2>")?;
            if let Some(reason) = report.not_controlled(*attack) {
                write!(page, "<p class=\"bad\">{attack} {reason}.</p>")?;
            }
            table(&mut page, &lines)?;
            let file = sheet::file(*attack).display().to_string();
            write!(
                page,
                "<p>Pictures of the first images: what the attack made of what it saw, one \
                 stage beside the other (scroll for the last ones). Where it found nothing, it is \
                 scored by the mean image all the same.</p>\
                 <div class=\"sheet\"><a href=\"{file}\"><img src=\"{file}\" alt=\"images, and \
                 what {attack} made of each stage\"></a></div>"
            )?;
        }
    }
    labels(&mut page, report)?;
    page.push_str(&report.sections()?);
    write!(
        page,
        "<h2>What is what</h2><p>PSNR in dB, SSIM and GMSD, a perceptual distance, are means over the \
         images; of equal images they are 120, 1 and 0. <b>Guess</b> is the score of the mean of {} images of other patients: what \
         someone knows who has seen nothing. <b>Success</b> is the share of images from {} dB on and \
         {} dB above the guess. <b>Found</b> is the share on which the attacker himself believes that \
         he has an image; otherwise he answers with the mean image. Brightness and contrast of an image \
         are given to answers and guesses alike. Every result is in <code>report.json</code>.</p></html>",
        report.public_images, report.thresholds.success_psnr, report.thresholds.success_above_guess
    )?;
    Ok(page)
}

fn controls(page: &mut String, report: &Report) -> anyhow::Result<()> {
    page.push_str("<h2>Positive controls</h2>");
    page.push_str(match report.controls_hold {
        true => {
            "<p class=\"good\">Linear-layer inversion and iDLG succeed on a plain gradient.</p>"
        }
        false => {
            "<p class=\"bad\">A control fails: the attacks are too weak here, and this report \
             proves nothing.</p>"
        }
    });
    page.push_str("<table><tr><th>control</th><th>found</th><th>asked for</th></tr>");
    for control in &report.controls {
        let class = if control.holds { "good" } else { "bad" };
        write!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{}</td><td>{}</td></tr>",
            control.name,
            number(control.found),
            control.asked
        )?;
    }
    page.push_str("</table>");
    Ok(())
}

fn table(page: &mut String, lines: &[&Summary]) -> anyhow::Result<()> {
    page.push_str(
        "<table><tr><th>stage</th><th>PSNR</th><th>guess</th><th>SSIM</th><th>guess</th>\
         <th>GMSD</th><th>guess</th><th>success</th><th>found</th><th>what the attacker sees</th></tr>",
    );
    for line in lines {
        let verdict = match line.equals_guess {
            Some(true) => ". <span class=\"good\">The score is that of guessing.</span>",
            Some(false) => ". <span class=\"bad\">The score is not that of guessing.</span>",
            None => "",
        };
        let verdict = match line.unaware {
            Some((psnr, ssim)) => {
                format!(". One who does not know of the defence: PSNR {psnr:.1}, SSIM {ssim:.2}")
            }
            None => verdict.to_owned(),
        };
        write!(
            page,
            "<tr><td>{}</td><td>{:.1}</td><td>{:.1}</td><td>{:.2}</td><td>{:.2}</td>\
             <td>{:.2}</td><td>{:.2}</td><td>{:.0} %</td><td>{:.0} %</td><td>{}{verdict}</td></tr>",
            line.stage,
            line.psnr,
            line.psnr_guess,
            line.ssim,
            line.ssim_guess,
            line.gmsd,
            line.gmsd_guess,
            100.0 * line.success,
            100.0 * line.found,
            line.about
        )?;
    }
    page.push_str("</table>");
    Ok(())
}

fn labels(page: &mut String, report: &Report) -> anyhow::Result<()> {
    if report.labels_summary.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<h2>labels</h2><p>How many images of each class there are in a batch.</p><table><tr>\
         <th>stage</th><th>images</th><th>right</th><th>by guessing</th></tr>",
    );
    for line in &report.labels_summary {
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{:.0} %</td><td>{:.0} %</td></tr>",
            line.stage,
            line.images,
            100.0 * line.right,
            100.0 * line.right_guess
        )?;
    }
    page.push_str("</table>");
    Ok(())
}
