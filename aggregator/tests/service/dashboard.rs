//! The pages for people: who is shown them, what they show in each state of a study, and that nothing
//! in them is more than text.

use reqwest::{Method, StatusCode};
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{PrivacyPolicy, SiteLevel, Spent};

use crate::access::token;
use crate::child::{Aggregator, Answer, Client, TOKEN};
use crate::crash::finish_closed;
use crate::disputes::{self, opened, settle};
use crate::play::Play;
use crate::roster::{Roster, Shape, now};
use crate::tiles::cosigned;

/// A browser: it says where its requests come from, and keeps a cookie.
#[derive(Clone)]
struct Browser {
    client: Client,
    cookie: Option<String>,
}

impl Browser {
    fn new(client: Client) -> Self {
        Self { client, cookie: None }
    }

    async fn send(&self, method: Method, path: &str, form: Option<String>, site: &str) -> Answer {
        let mut request = self.client.request(method, path).header("accept", "text/html,*/*");
        request = request.header("sec-fetch-site", site);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).body(form);
        }
        self.client.execute(request.build().unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, "same-origin").await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, Some(form.to_owned()), "same-origin").await
    }

    /// Signs in, and keeps the cookie as it was set.
    async fn sign_in(&mut self, token: &str) {
        let answer = self.post("/sign-in", &format!("token={token}&to=")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(&answer));
        let set = answer.headers["set-cookie"].to_str().unwrap();
        self.cookie = Some(set.split(';').next().unwrap().to_owned());
    }

    /// A page that is shown.
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", text(&answer));
        assert_eq!(answer.kind, "text/html; charset=utf-8");
        text(&answer)
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.clone()).unwrap()
}

async fn admin(aggregator: &Aggregator) -> Browser {
    let mut browser = Browser::new(aggregator.client());
    browser.sign_in(TOKEN).await;
    browser
}

fn path(play: &Play) -> String {
    format!("/studies/{}", play.roster.id())
}

#[tokio::test]
async fn without_a_sign_in_nothing_of_a_study_is_shown() {
    let aggregator = Aggregator::start();
    let play = Play::start(aggregator.client(), named(&aggregator, "a secret study"), 600).await;
    let stranger = Browser::new(aggregator.client());
    let (path, id) = (path(&play), play.roster.id().to_string());
    let pages = ["", "/rounds/0", "/held", "/held/body.png?round=0&site=site-0"];
    let pages = pages.map(|rest| format!("{path}{rest}"));
    for (page, status) in
        [("/".to_owned(), 200)].into_iter().chain(pages.into_iter().map(|page| (page, 401)))
    {
        let answer = stranger.get(&page).await;
        let said = text(&answer);
        assert_eq!(answer.status.as_u16(), status, "{page}: {said}");
        assert!(said.contains("action=\"/sign-in\""), "{page}: {said}");
        assert!(!said.contains("secret study") && !said.contains("site-0"), "{page}: {said}");
        assert!(page != "/" || !said.contains(&id));
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        // Nothing that the policy would refuse.
        for inline in [" style=", " onclick=", "<style", "javascript:", "http://", "https://"] {
            assert!(!said.replace("its https address", "").contains(inline), "{page}: {inline}");
        }
        assert_eq!(
            said.matches("<script").count(),
            said.matches("<script src=\"/dashboard/").count()
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    // What the page loads is there for everybody, and may be kept: its name is its content's.
    let front = stranger.page("/").await;
    let names: Vec<&str> =
        front.split("=\"/dashboard/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 3, "mark, style sheet, script: {names:?}");
    for name in names {
        let answer = stranger.get(&format!("/dashboard/{name}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(name.contains(&Digest::of(&answer.bytes).to_string()[..16]), "{name}");
    }
    assert_eq!(stranger.get("/dashboard/other.js").await.status, StatusCode::NOT_FOUND);
    // Whoever is no browser gets what all requests get.
    let request = aggregator.client().request(Method::GET, &path).build().unwrap();
    let refused = aggregator.client().execute(request).await;
    refused.refused(401, &["sign in with an auditor's or the administrator's token"]);
}

fn named(aggregator: &Aggregator, name: &str) -> Roster {
    let roster = Roster::new(aggregator.key, Shape::default());
    let mut study = roster.study().clone();
    study.name = name.to_owned();
    Roster::of(study, roster.keys)
}

#[tokio::test]
async fn a_sign_in_shows_what_its_token_may_read_and_counts_on_pages_alone() {
    let mut aggregator = Aggregator::start();
    let play = Play::start(aggregator.client(), named(&aggregator, "one study"), 600).await;
    let other = Play::start(aggregator.client(), named(&aggregator, "another study"), 600).await;
    let folder = aggregator.folder.path();
    let of_one = ["--role", "auditor", "--study", &play.roster.id().to_string()];
    let (narrow, line) = token(folder, "narrow", &of_one);
    let file = folder.join("tokens");
    std::fs::write(&file, line).unwrap();
    let file = file.to_str().unwrap().to_owned();
    aggregator.kill();
    aggregator.restart_with(&["--tokens", &file]);

    let mut officer = Browser::new(aggregator.client());
    let answer = officer.post("/sign-in", &format!("token=+{narrow}%0A&to={}", path(&play))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers["location"].to_str().unwrap(), path(&play));
    let set = answer.headers["set-cookie"].to_str().unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=14400"] {
        assert!(set.contains(word), "{set}");
    }
    assert!(!set.contains(&narrow), "{set}");
    officer.cookie = Some(set.split(';').next().unwrap().to_owned());
    let list = officer.page("/").await;
    assert!(list.contains("one study") && !list.contains("another study"), "{list}");
    officer.page(&path(&play)).await;
    let refused = officer.get(&path(&other)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!text(&refused).contains("another study"));
    // A link from elsewhere: the browser keeps the cookie to itself, and there is the form.
    let list = admin(&aggregator).await.page("/").await;
    assert!(list.contains("one study") && list.contains("another study"));

    // On the routes for programs it is no token: a page elsewhere could have a browser send it.
    for (method, at) in [
        (Method::GET, format!("/v2{}", path(&play))),
        (Method::GET, format!("/v2{}/rounds/0", path(&play))),
        (Method::POST, "/v2/studies".to_owned()),
        (Method::DELETE, format!("/v2{}/epochs", path(&play))),
    ] {
        let admin = admin(&aggregator).await;
        let refused = admin.send(method.clone(), &at, None, "same-origin").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {at}");
    }

    // It outlives a restart, and not its token.
    aggregator.kill();
    aggregator.restart_with(&["--tokens", &file]);
    officer.page(&path(&play)).await;
    aggregator.kill();
    aggregator.restart();
    let refused = officer.get(&path(&play)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(text(&refused).contains("sign in again"));
    assert!(officer.page("/").await.contains("action=\"/sign-in\""));
}

#[tokio::test]
async fn forms_of_other_sites_and_hostile_cookies_are_refused() {
    let aggregator = Aggregator::start();
    let play = Play::start(aggregator.client(), named(&aggregator, "a study"), 600).await;
    let browser = Browser::new(aggregator.client());
    let form = format!("token={TOKEN}&to=");
    for from in ["cross-site", "same-site", "none"] {
        for to in ["/sign-in", "/sign-out"] {
            let answer = browser.send(Method::POST, to, Some(form.clone()), from).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{from} {to}");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    let wrong = browser.post("/sign-in", "token=a-token-that-nobody-knows&to=%2F").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(text(&wrong).contains("This is no token of this aggregator"));
    assert!(!text(&wrong).contains("nobody-knows"), "it is not said again");
    assert!(!wrong.headers.contains_key("set-cookie"));
    for (form, status) in [
        ("", 400),
        ("to=%2F", 400),
        ("token=a&token=b", 400),
        ("token=a&other=b", 400),
        (&format!("token={}", "a".repeat(5000)), 413),
    ] {
        let answer = browser.post("/sign-in", form).await;
        assert_eq!(answer.status.as_u16(), status, "{}: {}", form.len(), text(&answer));
    }
    // Nobody is sent on to another server.
    for to in
        ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2Fstudies%2F%2Fevil", "%0D%0Aa"]
    {
        let answer = browser.post("/sign-in", &format!("token={TOKEN}&to={to}")).await;
        assert_eq!(answer.headers["location"], "/?signed=1", "{to}");
    }
    // A browser that has kept nothing is told why.
    assert!(browser.page("/?signed=1").await.contains("has not kept the sign-in"));

    let good = admin(&aggregator).await.cookie.unwrap();
    let path = path(&play);
    let value = good.split_once('=').unwrap().1;
    let long = format!("ringfence={}", "9".repeat(20_000));
    for cookie in [
        "ringfence=",
        "ringfence=..",
        "ringfence",
        "=",
        ";;;",
        "ringfence=1.2.3",
        &long,
        &format!("{good}; {good}"),
        &format!("{good}; ringfence=x"),
        &format!("__Host-ringfence={value}"),
        &format!("ringfence=\"{value}\""),
        &format!("ringfence=9{value}"),
    ] {
        let browser = Browser { client: aggregator.client(), cookie: Some(cookie.to_owned()) };
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", &cookie[..cookie.len().min(99)]);
        assert!(browser.page("/").await.contains("action=\"/sign-in\""));
    }
    let browser = Browser { client: aggregator.client(), cookie: Some(good) };
    browser.page(&path).await;
    let out = browser.post("/sign-out", "").await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("ringfence=; Path=/; Max-Age=0"));
}

#[tokio::test]
async fn a_study_is_shown_in_each_of_its_states() {
    let aggregator = Aggregator::start();
    let (browser, client) = (admin(&aggregator).await, aggregator.client());
    let roster = Roster::new(aggregator.key, Shape { values: 60_000, ..Shape::default() });
    client.post_study(&roster.signed).await.ok();
    let path = format!("/studies/{}", roster.id());
    let shows = async |words: &[&str]| {
        let page = browser.page(&path).await;
        for word in words {
            assert!(page.contains(word), "{word:?} is not in\n{page}");
        }
        page
    };
    shows(&["No round yet", "The log's head", "Noise margin", "No sum was opened yet"]).await;
    assert!(browser.page(&format!("{path}/held")).await.contains("No body of the last rounds"));

    let play = Play::open(client, roster, 0, 600, None).await;
    let sites = play.ids().to_vec();
    play.contribute(&sites[1]).await;
    let page =
        shows(&["Collecting", "Waits for <strong>contributions</strong>: 1 of 5", "until "]).await;
    // The picture says in words what it shows.
    for word in ["role=\"img\"", "<desc", "site-0 opened the round", "1 of them have contributed"] {
        assert!(page.contains(word), "{word:?}");
    }
    for site in [&sites[0], &sites[2], &sites[3], &sites[4]] {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    shows(&["Reviewing", "key holders' reviews</strong>: 0 of 5"]).await;
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    shows(&["Closed", "endorsements of the set"]).await;
    finish_closed(&play).await;
    shows(&["Certified", "openings by key holders"]).await;
    let closing = play.closing().await.id();
    for holder in &sites {
        play.put_opening(holder, closing).await.ok();
    }
    shows(&["Opened", "acknowledgements of one model"]).await;
    play.agree().await;
    let together = "1 sum was opened over 1 set of 5 sites";
    let page = shows(&["Over: it waits for nobody", "None. No site is barred", together]).await;

    // What it says of the log and of the receipts is what the log says.
    let checkpoint = browser_text(&play, "log/checkpoint").await;
    let size = checkpoint.lines().nth(1).unwrap();
    let root = checkpoint.lines().nth(2).unwrap();
    assert!(page.contains(&format!(">{size}<")) && page.contains(root), "{checkpoint}");
    assert!(page.contains("No site has cosigned it yet."));
    let note = cosigned(&play.roster, 2, &checkpoint, now());
    let cosignature = format!("{}/log/cosignatures/{}", play.roster.path(), sites[2]);
    let answer = play.client.put(&cosignature, note.into_bytes()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let row = format!("<bdi>{}</bdi></th><td class=\"number\">{size}</td>", sites[2]);
    shows(&["Cosigned by 1 of 5 sites", &row]).await;
    let round = browser.page(&format!("{path}/rounds/0")).await;
    for site in &sites {
        let body = play.contribution(site).header.statement.body.to_string();
        assert!(round.contains(&body), "{site}: {body}");
    }
    let entries = browser_text(&play, "log/entries").await;
    let leaves: Vec<usize> = entries
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("receipt "))
        .map(|(leaf, _)| leaf)
        .collect();
    assert_eq!(leaves.len(), 5);
    let receipts = round.split("id=\"receipts\"").nth(1).unwrap().split("</table>").next().unwrap();
    for leaf in leaves {
        assert!(
            receipts.contains(&format!("<td class=\"number\">{leaf}</td>")),
            "{leaf}: {receipts}"
        );
    }
    for kind in ["manifest", "freeze", "closing", "endorsement", "opening", "acknowledgement"] {
        assert!(round.contains(&format!("<th scope=\"row\">{kind}</th>")), "{kind}");
    }
    for missing in ["/rounds/1", "/rounds/x", "/rounds/99999999999"] {
        let answer = browser.get(&format!("{path}{missing}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{missing}");
        assert!(text(&answer).contains("This page cannot be shown"));
    }
}

/// What the routes for programs say.
async fn browser_text(play: &Play, rest: &str) -> String {
    let answer = play.client.get(&format!("{}/{rest}", play.roster.path())).await.ok();
    String::from_utf8(answer.bytes).unwrap()
}

#[tokio::test]
async fn an_aborted_round_and_a_disputed_one_say_so() {
    let aggregator = Aggregator::start();
    let browser = admin(&aggregator).await;
    let (play, _) = opened(&aggregator).await;
    let culprit = play.ids()[2].clone();
    settle(&play, 1, None, &culprit).await;
    let page = browser.page(&path(&play)).await;
    assert!(page.contains("Dispute 1"), "{page}");
    assert!(page.contains(&format!("<bdi>{culprit}</bdi> named")), "{page}");
    let round = browser.page(&format!("{}/rounds/0", path(&play))).await;
    assert!(round.contains("the sum did not decode at block 0, coefficient 4095"), "{round}");

    let roster = named(&aggregator, "to be aborted");
    let play = Play::start(aggregator.client(), roster, 10).await;
    play.contribute(&play.ids()[0]).await;
    play.reach_within(RoundState::Reviewing, std::time::Duration::from_secs(60)).await;
    for holder in play.ids() {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await;
    assert!(closing.statement.is_abort());
    for holder in play.ids() {
        play.put_endorsement(holder, closing.id()).await.ok();
    }
    let page = browser.page(&path(&play)).await;
    assert!(page.contains("The round was aborted") && page.contains("Over: it waits for nobody"));
}

#[tokio::test]
async fn sets_that_differ_in_one_site_say_so_even_of_rounds_at_rest() {
    let aggregator = Aggregator::start();
    let (browser, client) = (admin(&aggregator).await, aggregator.client());
    let roster = disputes::roster(&aggregator);
    client.post_study(&roster.signed).await.ok();
    let path = format!("/studies/{}", roster.id());
    let mut previous = None;
    // The first one without the last site; two more put it to rest.
    for round in 0..3 {
        let play = Play::open(client.clone(), roster.clone(), round, 600, previous.as_ref()).await;
        for site in play.ids() {
            play.contribute(site).await;
        }
        play.reach(RoundState::Reviewing).await;
        let sites = play.ids().to_vec();
        for holder in play.holders() {
            // Two words against one: it is left out this time, and nobody is barred.
            let accuses = round == 0 && sites[..2].contains(holder);
            let accused: &[&SiteId] = if accuses { &[&sites[4]] } else { &[] };
            play.put_review(holder, accused).await.ok();
        }
        play.reach(RoundState::Closed).await;
        let closing = play.closing().await.id();
        for holder in play.holders() {
            play.put_endorsement(holder, closing).await.ok();
        }
        for holder in play.holders() {
            play.put_opening(holder, closing).await.ok();
        }
        previous = Some(play.agree().await);
    }
    let page = browser.page(&path).await;
    for said in [
        "3 sums were opened over 2 different sets",
        "The two sets that are closest differ in 1 site: site-4 in that of round 1 only.",
        "the sums would single out 1 site: site-4",
    ] {
        assert!(page.contains(said), "{said:?} is not in\n{page}");
    }
}

#[tokio::test]
async fn what_sites_call_a_study_is_text() {
    let aggregator = Aggregator::start();
    let browser = admin(&aggregator).await;
    let right_to_left = "\u{202e}\u{5e9}\u{5dc}\u{5d5}\u{5dd} <img src=x onerror=alert(1)>";
    for name in
        ["<script>alert(1)</script>", "\"'><svg onload=alert(1)>", right_to_left, &"x".repeat(200)]
    {
        let play = Play::start(aggregator.client(), named(&aggregator, name), 600).await;
        for page in [
            "/",
            &path(&play),
            &format!("{}/rounds/0", path(&play)),
            &format!("{}/held", path(&play)),
        ] {
            let shown = browser.page(page).await;
            for alive in ["<script>alert", "<svg onload", "<img src=x"] {
                assert!(!shown.contains(alive), "{page}: {alive}");
            }
            let escaped = name
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;");
            assert!(shown.contains(&escaped), "{page}: {escaped}");
            // What is written from right to left changes nothing around it.
            assert!(!shown.contains(right_to_left), "{page}");
            assert!(shown.contains(&format!("<bdi>{escaped}</bdi>")), "{page}");
        }
    }
}

#[tokio::test]
async fn budgets_are_the_sites_own_words() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let mut study = roster.study().clone();
    let delta = 1e-5;
    study.privacy = PrivacyPolicy::SiteLevel(SiteLevel {
        clip: 1.0,
        noise_multiplier: 1.0,
        delta,
        epsilon: 8.0,
    });
    let threshold = study.threshold.collusion;
    study.packing = ringfence_crypto::ring::packing::Packing::derive(16, 40, 5, threshold).unwrap();
    if let Err(error) = study.check() {
        // Which bound the noise must have follows from the policy: the error names it.
        let bound = error.to_string();
        let number =
            bound.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
        let derived = number.filter(|n| *n > 1).find_map(|bound| {
            let packing =
                ringfence_crypto::ring::packing::Packing::derive(16, bound, 5, threshold).ok()?;
            let other = ringfence_crypto::statement::Study { packing, ..study.clone() };
            other.check().is_ok().then_some(packing)
        });
        study.packing = derived.unwrap_or_else(|| panic!("{bound}"));
    }
    let play = Play::start(aggregator.client(), Roster::of(study, roster.keys), 600).await;
    let site = play.ids()[1].clone();
    let mut contribution = play.contribution(&site);
    contribution.header.statement.spent = Some(Spent { rounds: 1, epsilon: 6.8, delta });
    contribution.header = play.roster.signed(&site, contribution.header.statement);
    let frame = play.frame_of(&contribution, Some(&contribution.body));
    play.client.put(&play.of(&site, ""), frame).await.ok();
    let page = admin(&aggregator).await.page(&path(&play)).await;
    assert!(page.contains("6.800 of 8") && page.contains("85 %, nearly spent"), "{page}");
    assert_eq!(page.matches("no contribution").count(), 4);
}

#[tokio::test]
async fn what_is_held_is_what_is_stored_and_the_picture_is_the_body() {
    let aggregator = Aggregator::start();
    let browser = admin(&aggregator).await;
    let roster = Roster::new(aggregator.key, Shape { values: 100_000, ..Shape::default() });
    let play = Play::start(aggregator.client(), roster, 600).await;
    let site = play.ids()[0].clone();
    play.contribute(&site).await;
    let studies = aggregator.data().join("studies").join(play.roster.id().to_string());
    // Somebody puts a file there: it is in the list.
    std::fs::write(studies.join("0/plaintext-of-site-0"), [1; 4321]).unwrap();
    let page = browser.page(&format!("{}/held", path(&play))).await;
    let body = play.contribution(&site).body;
    assert!(
        page.contains("Not known to this version") && page.contains("plaintext-of-site-0"),
        "{page}"
    );
    assert!(page.contains("4.32 kB"), "{page}");
    for kind in
        ["bodies", "envelopes", "events: announced", "events: received", "studies", "rounds"]
    {
        assert!(page.contains(&format!("<code>{kind}</code>")), "{kind}");
    }
    assert!(!page.contains("test wants") && page.contains("The test finds nothing"), "{page}");
    let source = page.split("src=\"/studies/").nth(1).unwrap().split('"').next().unwrap();
    let source = format!("/studies/{}", source.replace("&amp;", "&"));
    let picture = browser.get(&source).await;
    assert_eq!((picture.status, picture.kind.as_str()), (StatusCode::OK, "image/png"));
    // The pixels, which are stored and not compressed, are the body's bytes, a row each after a filter.
    for row in body[..65_536].chunks(256).step_by(17) {
        assert!(picture.bytes.windows(128).any(|bytes| row.windows(128).any(|part| part == bytes)));
    }
    for wrong in [
        "round=0&site=site-1",
        "round=7&site=site-0",
        "round=0&site=Site",
        "round=0",
        "round=x&site=site-0",
    ] {
        let answer = browser.get(&format!("{}/held/body.png?{wrong}", path(&play))).await;
        assert!(answer.status.is_client_error(), "{wrong}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_page_that_waits_is_made_again_once_there_is_news() {
    let aggregator = Aggregator::start();
    let browser = admin(&aggregator).await;
    let play = Play::start(aggregator.client(), named(&aggregator, "a study"), 600).await;
    let page = browser.page(&path(&play)).await;
    let live =
        page.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(live.starts_with(&path(&play)) && live.contains("wait=25&after=1.0.0"), "{live}");
    let at_once = live.replace("wait=25", "wait=1");
    let nothing = browser.get(&at_once).await;
    assert_eq!((nothing.status, nothing.bytes.len()), (StatusCode::NO_CONTENT, 0));
    let waiting = tokio::spawn({
        let (browser, live) = (browser.clone(), live.clone());
        async move { browser.page(&live).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    play.contribute(&play.ids()[0]).await;
    let fresh = tokio::time::timeout(std::time::Duration::from_secs(15), waiting).await.unwrap();
    assert!(!fresh.unwrap().contains("after=1.0.0"));
    for wrong in ["after=1", "after=1.2.x", "after=1.2.3.4", "after=", "wait=1&other=2", "until=-1"]
    {
        let answer = browser.get(&format!("{}?{wrong}", path(&play))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

/// Over PostgreSQL and S3: what one aggregator has signed in, another one takes, and counts the same.
#[tokio::test]
async fn a_sign_in_counts_at_every_aggregator_of_a_study() {
    let Some(first) = Aggregator::start_on_engines() else { return };
    let second = first.another("marks");
    let play = Play::start(first.client(), named(&first, "a shared study"), 600).await;
    let site: &SiteId = &play.ids()[0];
    play.contribute(site).await;
    let browser = Browser { client: second.client(), ..admin(&first).await };
    assert!(browser.page("/").await.contains("a shared study"), "registered at the other one");
    assert!(browser.page(&path(&play)).await.contains("1 of 5"));
    let held = browser.page(&format!("{}/held", path(&play))).await;
    for kind in ["bodies", "envelopes", "events: received", "leaves"] {
        assert!(held.contains(&format!("<code>{kind}</code>")), "{kind}");
    }
}
