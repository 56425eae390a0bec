//! The one table of who may ask what.
//!
//! A route that is not in it takes no request: forgetting it closes it.

use axum::http::Method;

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever can reach the server.
    Anyone,
    /// Who has an administrator's token.
    Admin,
    /// A site of the study, an auditor of it, an administrator.
    Reader,
    /// A site of the study.
    Member,
    /// The site that the path names as this: its own statements, and what is sealed to it.
    Own(&'static str),
}

use Access::{Admin, Anyone, Member, Own, Reader};

/// Every route under `/v2/studies/{study}`: method, path, who may. `docs/http.md` shows the same.
const OF_STUDY: &[(&str, &str, Access)] = &[
    ("GET", "", Reader),
    ("GET", "/status", Reader),
    ("GET", "/recovered", Reader),
    ("POST", "/recovered", Member),
    ("POST", "/epochs", Member),
    ("GET", "/epochs", Reader),
    ("DELETE", "/epochs", Admin),
    ("GET", "/epochs/{number}", Reader),
    ("GET", "/log/checkpoint", Reader),
    ("GET", "/log/consistency", Reader),
    ("GET", "/log/entries", Reader),
    ("GET", "/log/inclusion", Reader),
    ("POST", "/log/inclusion", Reader),
    ("GET", "/log/tile/{*tile}", Reader),
    ("GET", "/log/cosignatures", Reader),
    ("PUT", "/log/cosignatures/{site}", Own("site")),
    ("GET", "/log/cosignatures/{site}", Reader),
    ("GET", "/round-keys", Reader),
    // Signed by that site, and passed on by whoever the aggregator hides them from.
    ("PUT", "/round-keys/{site}", Member),
    ("GET", "/round-keys/{site}", Reader),
    ("GET", "/restored", Reader),
    ("PUT", "/restored/{site}", Own("site")),
    ("GET", "/restored/{site}/standings", Reader),
    ("PUT", "/restored/{site}/standings/{holder}", Own("holder")),
    ("POST", "/rounds", Member),
    ("GET", "/rounds/{round}", Reader),
    ("GET", "/rounds/{round}/manifest", Reader),
    ("GET", "/rounds/{round}/proof", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}/header", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/header", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}/envelopes", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/envelopes/{holder}", Own("holder")),
    ("PUT", "/rounds/{round}/contributions/{site}/body", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/body", Reader),
    ("GET", "/rounds/{round}/freeze", Reader),
    ("GET", "/rounds/{round}/headers", Reader),
    ("GET", "/rounds/{round}/dealt/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/opened/{site}", Own("site")),
    ("PUT", "/rounds/{round}/reviews/{site}", Own("site")),
    ("GET", "/rounds/{round}/reviews", Reader),
    ("GET", "/rounds/{round}/closing", Reader),
    ("PUT", "/rounds/{round}/endorsements/{site}", Own("site")),
    ("GET", "/rounds/{round}/certificate", Reader),
    ("GET", "/rounds/{round}/sum", Reader),
    ("GET", "/rounds/{round}/openings", Reader),
    ("PUT", "/rounds/{round}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/openings/{holder}/recipients/{site}", Own("site")),
    ("GET", "/rounds/{round}/disputes/{index}", Reader),
    ("PUT", "/rounds/{round}/disputes/{index}/endorsements/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/disputes/{index}/openings", Reader),
    ("PUT", "/rounds/{round}/disputes/{index}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/disputes/{index}/openings/{holder}/recipients/{site}", Own("site")),
    ("GET", "/rounds/{round}/verdicts/{index}", Reader),
    ("PUT", "/rounds/{round}/verdicts/{index}/endorsements/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/verdicts/{index}/openings", Reader),
    ("PUT", "/rounds/{round}/verdicts/{index}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/verdicts/{index}/openings/{holder}/recipients/{site}", Own("site")),
    ("PUT", "/rounds/{round}/snapshots/{site}/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/snapshots/{site}/{holder}", Own("site")),
    ("PUT", "/rounds/{round}/acks/{site}", Own("site")),
    ("GET", "/rounds/{round}/acks", Reader),
    ("GET", "/rounds/{round}/agreed", Reader),
];

/// The routes of no study, and of studies that wait for signatures.
const OTHERS: &[(&str, &str, Access)] = &[
    ("GET", "/v2/aggregator", Anyone),
    ("POST", "/v2/drafts", Admin),
    ("GET", "/v2/drafts", Admin),
    ("GET", "/v2/drafts/{study}", Reader),
    ("GET", "/v2/drafts/{study}/status", Reader),
    ("PUT", "/v2/drafts/{study}/signatures/{site}", Own("site")),
    ("DELETE", "/v2/drafts/{study}", Admin),
    ("POST", "/v2/studies", Admin),
    ("GET", "/healthz", Anyone),
    ("GET", "/readyz", Anyone),
    ("GET", "/openapi.json", Anyone),
    ("GET", "/docs", Anyone),
];

/// The pages for people, and what they load. Of these a browser's sign-in counts as its token, and of
/// no other route: what a page of another site has a browser send must not be able to change anything.
const PAGES: &[(&str, &str, Access)] = &[
    ("GET", "/", Anyone),
    ("GET", "/dashboard/{file}", Anyone),
    ("POST", "/sign-in", Anyone),
    ("POST", "/sign-out", Anyone),
    ("GET", "/studies/{study}", Reader),
    ("GET", "/studies/{study}/rounds/{round}", Reader),
    ("GET", "/studies/{study}/held", Reader),
    ("GET", "/studies/{study}/held/body.png", Reader),
];

pub(super) const STUDY: &str = "/v2/studies/{study}";
pub(super) const DRAFT: &str = "/v2/drafts/{study}";

/// Whether a route is a page for people, or what one loads.
pub(crate) fn is_page(route: &str) -> bool {
    PAGES.iter().any(|(_, path, _)| *path == route)
}

/// Every row of the table but for pages: method, whole path as OpenAPI writes it (which has no word for
/// a name of several segments, `{*name}`), who may.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, String, Access)> {
    let of_study =
        OF_STUDY.iter().map(|(method, path, who)| (*method, format!("{STUDY}{path}"), *who));
    let others = OTHERS.iter().map(|(method, path, who)| (*method, (*path).to_owned(), *who));
    others.chain(of_study).map(|(method, path, who)| (method, path.replace("{*", "{"), who))
}

/// A request's method and route as the table has them, for whoever counts them: `other` for what is not
/// there.
pub(crate) fn in_table(method: &Method, route: Option<&str>) -> (&'static str, String) {
    let found = route.and_then(|route| Some((row(method, route)?, route)));
    found.map_or(("other", "other".to_owned()), |((method, ..), route)| (*method, route.to_owned()))
}

/// The row of a request.
fn row(method: &Method, route: &str) -> Option<&'static (&'static str, &'static str, Access)> {
    // What GET answers, HEAD answers without its body.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let (table, path) = match route.strip_prefix(STUDY) {
        Some(rest) => (OF_STUDY, rest),
        None if is_page(route) => (PAGES, route),
        None => (OTHERS, route),
    };
    table.iter().find(|(of, known, _)| *of == method && *known == path)
}

/// Who may make a request with this method to this route.
pub(super) fn access(method: &Method, route: &str) -> Option<Access> {
    row(method, route).map(|(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [&str; 4] = ["GET ", "PUT ", "POST ", "DELETE "];

    /// The tables of docs/http.md: method, path and who.
    fn documented() -> Vec<(String, String, String)> {
        let page = include_str!("../../../../docs/http.md");
        let names = [("{r}", "{round}"), ("{by}", "{holder}"), ("{d}", "{index}")];
        let page =
            names.iter().fold(page.to_owned(), |page, (short, name)| page.replace(short, name));
        let mut found = Vec::new();
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [requests, who, ..] = cells.as_slice() else { continue };
            for request in requests
                .split('`')
                .filter(|text| METHODS.iter().any(|method| text.starts_with(method)))
            {
                let (method, path) = request.split_once(' ').unwrap();
                let path = path.split(['?', ',']).next().unwrap();
                let path = match path.strip_prefix("...") {
                    Some(rest) => format!("{STUDY}/rounds/{{round}}{rest}"),
                    None if path.starts_with("/rounds") || path.starts_with("/log") => {
                        format!("{STUDY}{path}")
                    }
                    None => path.to_owned(),
                };
                found.push((method.to_owned(), path, (*who).to_owned()));
            }
        }
        found
    }

    fn in_words(access: Access) -> String {
        match access {
            Anyone => "anyone".into(),
            Admin => "administrator".into(),
            Reader => "reader".into(),
            Member => "site".into(),
            Own(name) => format!("`{{{name}}}`"),
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let mut ours: Vec<(String, String, String)> =
            rows().map(|(method, path, who)| (method.to_owned(), path, in_words(who))).collect();
        let pages = PAGES
            .iter()
            .map(|(method, path, who)| ((*method).to_owned(), (*path).to_owned(), in_words(*who)));
        ours.extend(pages);
        let mut documented = documented();
        ours.sort();
        documented.sort();
        // Asked with a query and without one.
        documented.dedup();
        assert_eq!(documented, ours);
    }

    #[test]
    fn what_is_not_in_the_table_takes_nothing() {
        assert_eq!(access(&Method::HEAD, "/healthz"), Some(Anyone));
        assert_eq!(access(&Method::GET, "/v2/studies/{study}/rounds/{round}/sum"), Some(Reader));
        for (method, route) in [
            (Method::DELETE, "/v2/studies/{study}"),
            (Method::PUT, "/v2/studies/{study}/status"),
            (Method::GET, "/v2/studies/{study}/secret"),
            (Method::GET, "/status"),
            (Method::POST, "/"),
            (Method::PUT, "/studies/{study}"),
        ] {
            assert_eq!(access(&method, route), None, "{method} {route}");
        }
    }
}
