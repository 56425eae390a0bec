//! Times that somebody signed, held against the clock of whoever sees them.

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::{Closing, ClosingError, ManifestError};
use ringfence_crypto::time::MAX_CLOCK_AHEAD;

use super::refusals::closed;

#[test]
fn a_manifest_from_the_future_is_refused_and_one_that_is_seen_late_is_not() {
    let (_, round, _, _) = closed();
    let manifest = &round.manifest().statement;
    let opened_at = manifest.opened_at;
    let check = |now: UnixSeconds| manifest.check_clock(now, "this site's");
    for now in [opened_at.earlier(MAX_CLOCK_AHEAD), opened_at, opened_at.after(3600)] {
        check(now).unwrap();
    }
    check(UnixSeconds(u64::MAX)).unwrap();
    let now = opened_at.earlier(MAX_CLOCK_AHEAD + 1);
    let error = check(now).unwrap_err();
    assert!(matches!(error, ManifestError::OpenedAhead { .. }));
    let text = error.to_string();
    for said in
        [opened_at.utc().to_string(), now.utc().to_string(), "clock of the initiator".into()]
    {
        assert!(text.contains(&said), "{text}");
    }
    check(UnixSeconds(0)).unwrap_err();
}

#[test]
fn a_closing_is_not_from_the_future_nor_from_before_its_round() {
    let (rehearsal, round, _, _) = closed();
    let (manifest, closing) = (&round.manifest().statement, round.closing().unwrap());
    let closed_at = closing.statement.closed_at;
    closing.statement.check_clock(closed_at.earlier(MAX_CLOCK_AHEAD)).unwrap();
    closing.statement.check_clock(closed_at.after(1_000_000)).unwrap();
    let now = closed_at.earlier(MAX_CLOCK_AHEAD + 1);
    let error = closing.statement.check_clock(now).unwrap_err();
    assert!(matches!(error, ClosingError::ClosedAhead { .. }));
    let text = error.to_string();
    for said in [closed_at.utc().to_string(), now.utc().to_string(), "aggregator's clock".into()] {
        assert!(text.contains(&said), "{text}");
    }

    let at = |closed_at| {
        let closing = Closing { closed_at, ..closing.statement.clone() };
        Closing::check(&sign(closing, &rehearsal.aggregator), &rehearsal.study, manifest)
    };
    at(manifest.opened_at).unwrap();
    let error = at(manifest.opened_at.earlier(1)).unwrap_err();
    assert!(matches!(error, ClosingError::ClosedBeforeOpened { .. }), "{error}");
}
