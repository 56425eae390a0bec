//! What this server can see: all that it stores of a study, as it was counted where it lies, and the
//! bytes of a stored body as they are.

use maud::{Markup, html};
use ringfence_crypto::held::{self, Place};

use super::shell::{bytes, card, facts, grouped, table, time};
use super::uniform::{Uniformity, histogram};
use crate::core::held::{Inventory, Sample};

/// The page, of a study at this path.
pub(super) fn page(path: &str, inventory: &Inventory, body: Option<&Sample>) -> Markup {
    html! {
        div.title {
            h1 { "What this server can see" }
            p.lead {
                "Everything that it stores of the study, and what the bytes of a contribution look like \
                 from here."
            }
        }
        div.grid {
            (match body { Some(body) => noise(path, body), None => no_body() })
            (all(inventory))
            (beside())
        }
    }
}

fn no_body() -> Markup {
    card(
        "body",
        "A stored body",
        html! {
            p { "No body of the last rounds is stored: none has come yet, or the time for which they are kept \
                 is over." }
        },
    )
}

fn noise(path: &str, body: &Sample) -> Markup {
    let found = Uniformity::of(&body.bytes);
    let source = format!("{path}/held/body.png?round={}&site={}", body.round, body.site);
    let shown = body.bytes.len() as u64;
    card(
        "body",
        "A stored body",
        html! {
            p {
                "The first " (bytes(shown)) " of the body of " bdi { (body.site) } " in round " (body.round)
                ", which is " (bytes(body.body_bytes)) " long: this is what arrived, and all that there is of \
                 the site's update here."
            }
            div.pictures {
                figure {
                    img.noise src=(source) width="256" height="256"
                        alt="A square of grey noise: each byte of the body is one pixel, and no shape can be seen.";
                    figcaption { "A byte, a pixel: 0 is black, 255 white." }
                }
                figure {
                    (histogram(&found))
                    figcaption {
                        "How often each byte value occurs. Uniform bytes give " (format!("{:.1}", found.expected()))
                    " of each (the line), and stay within three standard deviations (dashed) but for one \
                     value or so."
                    }
                }
            }
            (facts(&[
                ("Bytes", html! { (grouped(shown)) }),
                ("Chi-square", html! { (format!("{:.1}", found.statistic)) ", 255 degrees of freedom" }),
                ("p-value", html! { (found.p_in_words()) }),
                ("Largest count", html! { (grouped(found.most())) }),
                ("Smallest count", html! { (grouped(found.least())) }),
            ]))
            (verdict(&found))
            h3 { "What this shows, and what it does not" }
            p { "An update that were stored as plain numbers would show: its bytes are far from uniform. \
                 Uniform bytes alone do not prove encryption, though. Compressed data look alike, and so would \
                 bytes encrypted under a key that somebody here has. That this server has none follows from \
                 elsewhere: the sites encrypt before they send, with keys that are shared among the key \
                 holders and sealed to them, and this program contains no code that could open a contribution." }
        },
    )
}

fn verdict(found: &Uniformity) -> Markup {
    html! {
        @if !found.is_valid() {
            p.said { "The body is too short for this test: it wants 1\u{202f}280 bytes at least." }
        } @else if found.p < 0.001 {
            p.said role="alert" {
                strong { "By this test the bytes are not uniform. " }
                "That happens to one body in a thousand by chance. Look at another round; if it is so again, \
                 the bodies are not what they should be: ask the site whether it encrypts them."
            }
        } @else {
            p { "The test finds nothing that tells these bytes from uniform ones." }
        }
    }
}

fn all(inventory: &Inventory) -> Markup {
    let (leaves, mark_bytes) = inventory.marked;
    let total: u64 = inventory.held().map(|held| held.bytes).sum();
    let rows = html! {
        @for stored in inventory.held() {
            @let known = held::of(&stored.kind).filter(|known| known.place == stored.place);
            tr {
                th scope="row" {
                    @match known { Some(held) => (held.what), None => strong { "Not known to this version" } }
                    span.quiet.block { code { (stored.kind) } }
                }
                td { @match stored.place {
                    Place::Table => "database",
                    Place::Files => "files",
                    Place::Beside => "apart",
                } }
                td.number { (grouped(stored.count)) }
                td.number { (bytes(stored.bytes)) }
                td.wide { @match known {
                    Some(held) => (held.says),
                    None => "Ask the administrator what it is and who put it there.",
                } }
            }
        }
        tr {
            th scope="row" { "The mark: leaves of the log, signed" span.quiet.block { code { "mark" } } }
            td { "apart" }
            td.number { (grouped(leaves)) }
            td.number { (bytes(mark_bytes)) }
            td.wide { "Nothing: hashes" }
        }
    };
    card(
        "all",
        "All that is stored",
        html! {
            p {
                "Every table of the database that has a column for studies, and every file below the study's \
                 folder, counted there at " (time(inventory.counted_at)) " in "
                (format!("{:.2}", inventory.took.as_secs_f64())) " s: "
                (bytes(total + mark_bytes)) " in all. What is not in this table is not stored of the study."
            }
            @if inventory.more() {
                p.said { "There are more files than were counted; the figures are of the first ones." }
            }
            (table(
                "All that is stored of the study",
                &["What", "Where", "Number", "Bytes", "What it says of a site's update"],
                rows,
            ))
        },
    )
}

fn beside() -> Markup {
    card(
        "beside",
        "What it knows beside that",
        html! {
            ul {
                li { "Which site asks for what, when, and from which network address: connections show it, and \
                      so does the operator's log." }
                li { "How long each contribution is, which follows from the study." }
                li { "Its own signing key, which signs receipts and closings and opens nothing, and hashes of \
                      the tokens that it takes." }
                li { "It never has the opened sum: the key holders' shares of the sum of the keys are sealed \
                      to the sites." }
            }
            p.quiet { "This page is made by the server that it speaks of. Who does not trust it takes the \
                       evidence along and checks it alone, with " code { "ringfence-audit" } "." }
        },
    )
}
