//! The front page: the form to sign in, the studies of whoever has, and what is said in the place of a
//! page that is not shown.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use maud::{Markup, html};
use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::round::RoundState;

use super::shell::{Page, Viewer, card, chip, counted, grouped, short, time_from};
use super::{Listed, words};
use crate::auth::{Role, Scope};
use crate::core::refusal::Refusal;
use crate::core::rounds::LiveStudy;
use crate::http::front::Front;

/// Studies that are listed at most.
const MOST: usize = 500;

/// The studies that this role may read, by name; the first of them, and how many there are.
pub(super) async fn listed(
    front: &Front,
    role: &Role,
) -> Result<(Vec<(StudyId, Listed)>, usize), Refusal> {
    if front.studies.shared.store.sharing.is_some() {
        // Another aggregator may have registered one.
        for study in front.studies.shared.store.statements.studies().await? {
            front.studies.meet(study).await?;
        }
    }
    let admits = |study: StudyId| match role {
        Role::Admin | Role::Auditor(Scope::All) => true,
        Role::Auditor(scope) => scope.admits(study),
    };
    let mut found: BTreeMap<(String, StudyId), Listed> = BTreeMap::new();
    {
        let live = front.studies.live.read().unwrap_or_else(PoisonError::into_inner);
        for (id, study) in live.iter().filter(|(id, _)| admits(**id)) {
            let name = study
                .as_ref()
                .map_or_else(|_| String::new(), |study| study.served.study.name.clone());
            found.insert((name, *id), study.clone());
        }
    }
    let all = found.len();
    let found = found.into_iter().map(|((_, id), study)| (id, study));
    Ok((found.take(MOST).collect(), all))
}

/// Health of the service, in a word.
fn health(ready: &Result<(), Refusal>) -> Markup {
    match ready {
        Ok(()) => chip("good", "Ready"),
        Err(_) => chip("bad", "The store takes nothing now"),
    }
}

/// The list of studies.
pub(super) fn studies(
    (listed, all): &(Vec<(StudyId, Listed)>, usize),
    ready: &Result<(), Refusal>,
    now: UnixSeconds,
) -> Markup {
    html! {
        div.title {
            h1 { "Studies" }
            p.lead {
                "What this aggregator serves and this token may read. It adds up what sites have \
                 encrypted, and has no key that opens any of it. " (health(ready))
            }
        }
        @if listed.is_empty() {
            (card("none", "No study yet", html! {
                p { "None is registered, or this token is for others. The administrator registers a study \
                     with " code { "ringfence study register" } "." }
            }))
        }
        ul.studies #studies data-part {
            @for (id, study) in listed {
                li {
                    @match study {
                        Ok(study) => (entry(*id, study, now)),
                        Err(reason) => {
                            section.card {
                                h2 { "Study " (short(id)) }
                                p { (chip("bad", "Not served")) }
                                p { (reason) }
                            }
                        }
                    }
                }
            }
        }
        @if *all > listed.len() {
            p { "The first " (listed.len()) " of " (all) " by name. The others are at "
                code { "/studies/DIGEST" } "." }
        }
    }
}

fn entry(id: StudyId, study: &LiveStudy, now: UnixSeconds) -> Markup {
    let (rounds, latest) = study.latest();
    let served = study.at_last();
    html! {
        section.card.study {
            h2 { a href={ "/studies/" (id) } { bdi { (study.served.study.name) } } }
            p.quiet { (counted(served.study.roster.len(), "site")) " · " (short(id)) }
            @match latest.map(|round| round.status()) {
                None => p { (chip("idle", "No round yet")) },
                Some(status) => {
                    p {
                        "Round " (status.round) " "
                        (words::state(status.state))
                    }
                    p.quiet {
                        (counted(status.received.len(), "contribution")) " of "
                        (grouped(served.study.roster.len() as u64))
                        @if status.state == RoundState::Collecting {
                            ", taken until " (time_from(status.deadline, now))
                        }
                        ". " (counted(rounds, "round")) " so far."
                    }
                }
            }
        }
    }
}

/// The form to sign in, with what went wrong before, and the page to go on to.
pub(super) fn sign_in(
    front: &Front,
    ready: &Result<(), Refusal>,
    (said, to): (Option<&str>, &str),
) -> Markup {
    let main = html! {
        div.front {
            div.title {
                h1 { "Ringfence aggregator" }
                p.lead {
                    "This server adds up what sites have encrypted, and has no key that opens any of it. \
                     Its pages show how far the rounds of a study are, who took part, and everything \
                     that it stores."
                }
                p { (health(ready)) " Version " (env!("CARGO_PKG_VERSION")) }
            }
            section.card.sign-in aria-labelledby="sign-in-heading" {
                h2 #sign-in-heading { "Sign in" }
                @if let Some(said) = said { p.said role="alert" { (said) } }
                form method="post" action="/sign-in" {
                    label for="token" { "Token" }
                    input #token name="token" type="password" autocomplete="current-password"
                        required maxlength="1000" aria-describedby="token-help"
                        spellcheck="false" autocapitalize="off";
                    input type="hidden" name="to" value=(to);
                    p.quiet #token-help {
                        "The one line of an auditor's or administrator's token file. Auditors get theirs \
                         from the administrator, who makes it with "
                        code { "ringfence-aggregator token" } "."
                    }
                    button type="submit" { "Sign in" }
                }
                p.quiet {
                    "A sign-in lasts 4 hours, in this browser alone. Who came here by a link from \
                     elsewhere and has signed in before: "
                    a href=(to) { "go on" } "."
                }
            }
        }
    };
    let now = front.clock.now();
    let viewer = Viewer::Nobody;
    Page { title: "Sign in", live: None, crumbs: vec![], now, viewer }.with(main)
}

/// What is said in the place of a page.
pub(super) fn refused(refusal: &Refusal) -> Markup {
    html! {
        div.title { h1 { "This page cannot be shown" } }
        (card("why", "Why", html! {
            p { (refusal.detail()) }
            @if let Some(seconds) = refusal.retry_seconds() {
                p { "It may work in " (seconds) " seconds." }
            }
            p { a href="/" { "To the studies" } }
        }))
    }
}
