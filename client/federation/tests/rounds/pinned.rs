//! A study pins the model that all begin with, the layout of what is sent, and who opens a round. What
//! an aggregator crafts instead is refused by every site, and nothing is sent.

use std::sync::{Arc, Mutex};

use ringfence_clock::Clock;
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Change, EpochError, Manifest, ManifestError};
use ringfence_crypto::wire::json;
use ringfence_keys::study::change::change;
use ringfence_site::transport::Transport;
use ringfence_site::{Site, SiteError, model};
use ringfence_weights::Weights;

use crate::liar;
use crate::trio::Trio;

const FIRST: RoundNumber = RoundNumber(0);
const SITES: usize = 4;
const PIXELS: usize = 16;
const HIDDEN: usize = 8;

/// A small dense classifier of these numbers of hidden units.
fn dense(
    hidden: usize,
    kernel: impl Fn(usize, usize) -> f32,
    bias: impl Fn(usize) -> f32,
) -> Weights {
    let shapes = [
        ("head.bias", vec![2]),
        ("head.kernel", vec![2, hidden]),
        ("hidden.bias", vec![hidden]),
        ("hidden.kernel", vec![hidden, PIXELS]),
    ];
    let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape));
    let rows = (0..hidden).flat_map(|unit| (0..PIXELS).map(move |pixel| (unit, pixel)));
    let values = std::iter::repeat_n(0.1, 2 + 2 * hidden)
        .chain((0..hidden).map(bias))
        .chain(rows.map(|(unit, pixel)| kernel(unit, pixel)));
    Weights::from_values(&shapes, values.collect()).unwrap()
}

/// The model that the study begins with.
fn agreed() -> Weights {
    dense(HIDDEN, |unit, pixel| ((unit * PIXELS + pixel) as f32).sin(), |_| 0.0)
}

/// An imprint ("Robbing the Fed"): all units measure the same, each with a threshold of its own.
fn imprint(hidden: usize) -> Weights {
    dense(hidden, |_, pixel| (pixel as f32).cos(), |unit| -(unit as f32))
}

fn update(weights: &Weights) -> Vec<f32> {
    vec![0.01; weights.len()]
}

/// A study of four sites, which begins with [`agreed`].
async fn study() -> Trio {
    let start = agreed();
    Trio::start_of(SITES as u8, |draft| {
        (draft.layout, draft.initial_model) = (model::layout(&start, 0.5), model::id(&start));
    })
    .await
}

/// A manifest of the first round, of this study and from this model, by a site that may open it.
fn manifest(trio: &Trio, of: StudyId, base: &Weights) -> Signed<Manifest> {
    let (identity, study) = (trio.identity(0), &trio.study.study);
    let now = Clock::system().now();
    identity.sign(Manifest {
        study: of,
        round: FIRST,
        initiator: identity.site().clone(),
        opened_at: now,
        deadline: now.after(600),
        holders: study.holders(FIRST).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; study.threshold.holders.into()],
        base_model: identity.check_key(study).unwrap().model(&model::id(base)),
        previous: None,
        trust: ringfence_crypto::dealing::Trust::default().digest(),
    })
}

/// What an aggregator changes in a manifest, and how that is called.
type Alteration<'a> = (&'a str, &'a dyn Fn(&mut Manifest));

/// All sites of a study, before an aggregator that answers some questions with bytes of its own.
struct LiedTo {
    sites: Vec<Site>,
    /// What they have put under a round's contributions.
    sent: Arc<Mutex<Vec<String>>>,
}

impl LiedTo {
    fn new(
        trio: &Trio,
        name: &str,
        lie: impl Fn(&liar::Asked<'_>, &mut liar::Answer) + Send + Sync + 'static,
    ) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        let url = liar::start(trio.aggregator.url(), move |asked, answer| {
            if asked.method != "GET" && asked.path.contains("/contributions/") {
                seen.lock().unwrap().push(format!("{} {}", asked.method, asked.path));
            }
            lie(asked, answer);
        });
        let site = |k: usize| {
            trio.site_with(k, |membership| {
                membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
                membership.state = trio.folder.path().join(format!("{name}-{k}"));
            })
        };
        Self { sites: (0..SITES).map(site).collect(), sent }
    }

    /// All are shown this manifest.
    fn shown(trio: &Trio, name: &str, manifest: Signed<Manifest>) -> Self {
        Self::new(trio, name, move |asked, answer| {
            if asked.path.ends_with("/rounds/0/manifest") {
                (answer.status, answer.bytes) = (200, json::compact(&manifest));
            }
        })
    }

    fn nothing_was_sent(&self) {
        assert!(self.sent.lock().unwrap().is_empty(), "{:?}", self.sent);
    }
}

/// The aggregator and the site that opens the round craft it together, and hand the crafted model to
/// whoever asks: more than the aggregator alone can do.
#[tokio::test(flavor = "multi_thread")]
async fn a_crafted_model_is_refused_by_every_site() {
    let trio = study().await;
    let (own, crafted) = (agreed(), imprint(HIDDEN));
    model::check_layout(&crafted, &trio.study.study.layout).unwrap();
    let all = LiedTo::shown(&trio, "model", manifest(&trio, trio.study_id(), &crafted));
    for site in &all.sites {
        // With its own model it sees that the round starts from another one.
        let joined = site.join(FIRST).await.unwrap();
        joined.check_base(model::id(&own)).unwrap_err();
        let error = joined.contribute(model::id(&own), &update(&own), |_| ()).await.unwrap_err();
        assert!(matches!(error, SiteError::BaseModel { round: FIRST, .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("another model than this site's") && said.contains("nothing was sent")
        );
        // With the crafted one that it was handed it sees that the study does not begin with that.
        let joined = site.join(FIRST).await.unwrap();
        let update = update(&crafted);
        let error = joined.contribute(model::id(&crafted), &update, |_| ()).await.unwrap_err();
        let SiteError::NotInitialModel { expected, .. } = &error else {
            panic!("{}: {error}", site.id())
        };
        assert_eq!(*expected, model::id(&own));
        assert!(error.to_string().contains("use the study's initial model"), "{error}");
        // Nor does it open a round from it.
        let error = site.open_round(model::id(&crafted), 600).await.unwrap_err();
        assert!(matches!(error, SiteError::NotInitialModel { .. }), "{error}");
    }
    all.nothing_was_sent();
}

/// A layout with room for more bins: in a manifest of another study, in the model that is handed out, and
/// in a change of the roster.
#[tokio::test(flavor = "multi_thread")]
async fn a_crafted_layout_is_refused_by_every_site() {
    let trio = study().await;
    let (own, crafted) = (agreed(), imprint(4 * HIDDEN));
    let mut other = trio.study.study.clone();
    other.layout = model::layout(&crafted, 0.5);
    let all = LiedTo::shown(&trio, "layout", manifest(&trio, other.id(), &crafted));
    for site in &all.sites {
        let error = site.join(FIRST).await.unwrap_err();
        let SiteError::Manifest(ManifestError::Study { got, .. }) = &error else {
            panic!("{}: {error}", site.id())
        };
        assert_eq!(*got, other.id());
        let error = model::check_layout(&crafted, &site.study().layout).unwrap_err().to_string();
        assert!(error.contains("the study's layout says [2, 8]"), "{error}");
    }
    all.nothing_was_sent();
    drop(all);

    // What fits the crafted layout does not fit the study's, in a round that all agree on.
    let all = LiedTo::new(&trio, "update", |_, _| ());
    all.sites[0].open_round(model::id(&own), 600).await.unwrap();
    for site in &all.sites {
        let joined = site.join(FIRST).await.unwrap();
        let long = update(&crafted);
        let error = joined.contribute(model::id(&own), &long, |_| ()).await.unwrap_err();
        assert!(
            error.to_string().contains("has 610 values, the study's layout has 154"),
            "{error}"
        );
    }
    all.nothing_was_sent();
    drop(all);

    // A change of the roster that brings the layout along, of which the aggregator says that it is made.
    let one = trio.site_with(0, |m| m.state = trio.folder.path().join("epoch"));
    let leave = vec![Change::Leave { site: "d".parse().unwrap() }];
    let mut rng = ringfence_keys::system_rng().unwrap();
    let mut epoch = change(one.lineage(), leave, &[], FIRST, &mut rng).unwrap();
    drop(one);
    epoch.after.layout = other.layout.clone();
    epoch.epoch.after = epoch.after.id();
    let answered = json::compact(&epoch);
    let all = LiedTo::new(&trio, "epoch", move |asked, answer| {
        if asked.is_study_status() {
            answer.alter(|status: &mut StudyStatus| status.epochs = 1);
        }
        if asked.path.ends_with("/epochs/1") {
            (answer.status, answer.bytes) = (200, answered.clone());
        }
    });
    let carried = |error: SiteError| {
        let layout =
            matches!(&error, SiteError::Epoch(error) if **error == EpochError::Carried("layout"));
        assert!(layout && error.to_string().contains("another layout"), "{error}");
    };
    for site in &all.sites {
        carried(site.renewed().await.unwrap_err());
        carried(site.sign_epoch(epoch.clone(), None).unwrap_err());
    }
    all.nothing_was_sent();
}

/// The aggregator alone: it signs no manifest, and what it changes in one is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_crafted_manifest_is_refused_by_every_site() {
    let trio = study().await;
    let honest = manifest(&trio, trio.study_id(), &agreed());
    let key = trio.identity(0).check_key(&trio.study.study).unwrap();
    let crafted = key.model(&model::id(&imprint(HIDDEN)));
    let alterations: [Alteration<'_>; 4] = [
        ("model", &|manifest| manifest.base_model = crafted),
        ("deadline", &|manifest| manifest.deadline = manifest.deadline.after(60)),
        ("initiator", &|manifest| manifest.initiator = "b".parse().unwrap()),
        ("holders", &|manifest| manifest.holders.reverse()),
    ];
    for (name, alter) in alterations {
        let mut altered = honest.clone();
        alter(&mut altered.statement);
        let all = LiedTo::shown(&trio, name, altered);
        for site in &all.sites {
            let error = site.join(FIRST).await.unwrap_err();
            let refused = matches!(
                (name, &error),
                ("holders", SiteError::Manifest(ManifestError::Holders { .. }))
                    | (
                        "model" | "deadline" | "initiator",
                        SiteError::Manifest(ManifestError::Signature(_))
                    )
            );
            assert!(refused, "{name}, {}: {error}", site.id());
        }
        all.nothing_was_sent();
    }
}
