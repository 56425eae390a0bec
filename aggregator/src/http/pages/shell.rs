//! What all pages have: head, banner, foot, and the small pieces that they are put together from.

use std::fmt::Display;
use std::time::Duration;

use maud::{DOCTYPE, Markup, Render, html};
use ringfence_crypto::Digest;
use ringfence_crypto::id::UnixSeconds;

use super::{icon_name, script_name, style_name};

/// Who looks at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewer {
    /// Whoever has not signed in with this browser.
    Nobody,
    /// The administrator.
    Admin,
    /// An auditor.
    Auditor,
}

/// A page but for what is on it.
pub(super) struct Page<'a> {
    /// Its name.
    pub(super) title: &'a str,
    /// Where it is read again from, once there is news.
    pub(super) live: Option<String>,
    /// What it is a part of, from the outside in: path and name.
    pub(super) crumbs: Vec<(String, String)>,
    /// When it is made.
    pub(super) now: UnixSeconds,
    /// Who looks at it.
    pub(super) viewer: Viewer,
}

/// The first half of a file's digest: a name that changes with it.
pub(super) fn version_of(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string().chars().take(16).collect()
}

impl Page<'_> {
    /// The whole page.
    pub(super) fn with(&self, main: Markup) -> Markup {
        let role = match self.viewer {
            Viewer::Nobody => None,
            Viewer::Admin => Some("administrator"),
            Viewer::Auditor => Some("auditor"),
        };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) " · Ringfence aggregator" }
                    link rel="icon" type="image/svg+xml" href={ "/dashboard/" (icon_name()) };
                    link rel="stylesheet" href={ "/dashboard/" (style_name()) };
                    script src={ "/dashboard/" (script_name()) } defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the page" }
                    header.banner {
                        a.brand href="/" { (mark()) span { "Ringfence " span.quiet { "aggregator" } } }
                        @if let Some(role) = role {
                            form.who method="post" action="/sign-out" {
                                span { "Signed in as " (role) }
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                    @if role.is_some() && self.title != "Studies" {
                        nav.crumbs aria-label="Where this page is" {
                            ol {
                                li { a href="/" { "Studies" } }
                                @for (path, name) in &self.crumbs {
                                    li { a href=(path) { bdi { (name) } } }
                                }
                                li { span aria-current="page" { bdi { (self.title) } } }
                            }
                        }
                    }
                    main #main tabindex="-1" data-live=[self.live.as_deref()] { (main) }
                    footer.foot {
                        p {
                            "Made " (time(self.now)) ". "
                            @if self.live.is_some() {
                                span #live role="status" { a href="" { "Load it again" } " for news." }
                            } @else {
                                a href="" { "Load it again" }
                            }
                        }
                        p {
                            "ringfence-aggregator " (env!("CARGO_PKG_VERSION")) " · "
                            a href="/docs" { "Requests and messages" }
                        }
                    }
                }
            }
        }
    }
}

/// The program's mark: a ring with a key holder on it.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" {
            circle cx="16" cy="16" r="11" fill="none" stroke="currentColor" stroke-width="2.5" {}
            circle.holder cx="16" cy="5" r="4" {}
            circle cx="25.5" cy="21.5" r="3.2" fill="currentColor" {}
            circle cx="6.5" cy="21.5" r="3.2" fill="currentColor" {}
        }
    }
}

/// A card: a part of a page with a heading of its own.
pub(super) fn card(id: &str, heading: &str, content: Markup) -> Markup {
    html! {
        section.card id=(id) aria-labelledby={ (id) "-heading" } data-part {
            h2 id={ (id) "-heading" } { (heading) }
            (content)
        }
    }
}

/// Names with what belongs to them.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// A state, by a word and a shape; the colour says it a third time.
pub(super) fn chip(class: &str, word: &str) -> Markup {
    html! { span.chip.(class) { span.dot aria-hidden="true" {} (word) } }
}

/// A moment.
pub(super) fn time(at: UnixSeconds) -> Markup {
    let text = at.utc().to_string();
    let machine = text.replacen(' ', "T", 1).replace(" UTC", "Z");
    html! { time datetime=(machine) { (text) } }
}

/// A moment, and how far it is from now.
pub(super) fn time_from(at: UnixSeconds, now: UnixSeconds) -> Markup {
    let far = if at.0 >= now.0 { at.since(now) } else { now.since(at) };
    let far = rough(far);
    html! {
        (time(at)) " "
        span.quiet { @if at.0 >= now.0 { "(in " (far) ")" } @else { "(" (far) " ago)" } }
    }
}

/// A span of time, in the largest unit that fits.
fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

/// The beginning of a digest, with all of it for whoever asks.
pub(super) fn short(digest: impl Display) -> Markup {
    let all = digest.to_string();
    let beginning: String = all.chars().take(12).collect();
    html! { code title=(all) { (beginning) "…" } }
}

/// Bytes, as people say them.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match unit {
        0 => format!("{count} B"),
        _ if value < 10.0 => format!("{value:.2} {name}"),
        _ if value < 100.0 => format!("{value:.1} {name}"),
        _ => format!("{value:.0} {name}"),
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 site`, `2 sites`.
pub(super) fn counted(count: usize, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {one}{s}", grouped(count as u64))
}

/// The first few, and how many there are more.
pub(super) fn few<T: Display>(all: &[T], most: usize) -> Markup {
    html! {
        @for (place, one) in all.iter().take(most).enumerate() {
            @if place > 0 { ", " }
            bdi { (one) }
        }
        @if all.len() > most { " and " (all.len() - most) " more" }
    }
}

/// A table in a frame that scrolls sideways where it must, also by keys.
pub(super) fn table(caption: &str, head: &[&str], rows: impl Render) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_say_them() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (65_536, "65.5 kB"),
            (123_456_789, "123 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(grouped(1_234_567).replace('\u{202f}', " "), "1 234 567");
        assert_eq!(grouped(123), "123");
        assert_eq!(rough(Duration::from_secs(7300)), "2 h");
        assert_eq!(counted(1, "site"), "1 site");
    }

    #[test]
    fn what_a_page_is_made_of_is_text() {
        let hostile = "<script>alert(1)</script>\"'&";
        let page = Page {
            title: hostile,
            live: Some(hostile.into()),
            crumbs: vec![(hostile.into(), hostile.into())],
            now: UnixSeconds(0),
            viewer: Viewer::Admin,
        };
        let made = page.with(few(&[hostile], 1)).into_string();
        assert_eq!(made.matches("<script").count(), 1, "its own");
        assert!(!made.contains("alert(1)</"), "{made}");
        assert!(!made.contains("\"'&"), "{made}");
    }
}
