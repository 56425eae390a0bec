//! Restore requests and their answers: what every backend must pass.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};

use super::{Backend, begun, reopened};
use crate::roster::Roster;

fn request(roster: &Roster, site: &SiteId, seconds: u64) -> Signed<RestoreRequest> {
    let (study, nonce) = (roster.id(), Digest::of(&seconds.to_le_bytes()));
    let (restored_at, of) = (UnixSeconds(seconds), site.clone());
    roster.signed(site, RestoreRequest { study, site: of, nonce, restored_at })
}

fn standing(roster: &Roster, site: &SiteId, request: Digest, round: u32) -> Signed<Standing> {
    let (study, round, of) = (roster.id(), Some(RoundNumber(round)), site.clone());
    roster.signed(site, Standing { study, request, site: of, round, has_signed: None })
}

pub(crate) async fn a_later_restore_request_replaces_an_earlier_one(backend: &impl Backend) {
    let (store, roster, _) = begun(backend).await;
    let (study, statements) = (roster.id(), &store.statements);
    let [asking, other, third] = [0, 1, 2].map(|place| &roster.ids[place]);
    let put = async |request: &_| statements.put_restore_request(study, request).await.unwrap();
    let [first, same_time, later] = [
        request(&roster, asking, 100),
        roster.signed(
            asking,
            RestoreRequest { nonce: Digest::of(b"?"), ..request(&roster, asking, 100).statement },
        ),
        request(&roster, asking, 101),
    ];
    let of_other = request(&roster, other, 7);
    assert!(put(&of_other).await);
    assert!(put(&first).await);
    assert!(!put(&first).await, "the same again");
    assert!(!put(&same_time).await);
    let stored = statements.restore_requests(study).await.unwrap();
    assert_eq!(stored, [first.clone(), of_other.clone()]);
    let answer = async |standing: &_| {
        statements.put_standing(study, asking, standing).await.unwrap();
    };
    let answers = async |request: &Signed<RestoreRequest>| {
        statements.standings(study, asking, request.id()).await.unwrap()
    };
    let [two, three, again] = [
        standing(&roster, other, first.id(), 2),
        standing(&roster, third, first.id(), 3),
        standing(&roster, other, first.id(), 4),
    ];
    for standing in [&three, &two, &again] {
        answer(standing).await;
    }
    answer(&standing(&roster, third, later.id(), 9)).await;
    assert_eq!(answers(&first).await, [again, three], "none to what is not asked");
    assert!(put(&later).await);
    assert!(!put(&first).await);
    assert_eq!((answers(&first).await, answers(&later).await), (vec![], vec![]));
    let last = standing(&roster, third, later.id(), 5);
    answer(&last).await;
    answer(&standing(&roster, other, first.id(), 6)).await;
    let store = reopened(backend, store).await;
    let stored = store.statements.restore_requests(study).await.unwrap();
    assert_eq!(stored, [later.clone(), of_other]);
    assert_eq!(store.statements.standings(study, asking, later.id()).await.unwrap(), [last]);
}
