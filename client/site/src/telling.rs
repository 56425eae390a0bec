//! Telling a site's people what happens: as it changes, not whenever somebody looks.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_clock::Moment;
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::round::RoundStatus;

use crate::event::Event;
use crate::obstacles::{Obstacle, Obstacles};
use crate::round_wait::{Came, RoundWait};
use crate::site::Site;
use crate::transport::{ClocksApart, TransportError};

/// Who is told.
type Told = Arc<dyn Fn(&Event) + Send + Sync>;

/// Where a site's events go; nowhere unless somebody listens.
#[derive(Clone, Default)]
pub(crate) struct Telling {
    told: Option<Told>,
    /// The round that was told of last, with its version.
    last: Arc<Mutex<Option<(u64, RoundWait)>>>,
    /// The round whose model's acknowledgements were told of last, with them.
    agreement: Arc<Mutex<Option<(RoundNumber, Came)>>>,
    /// What stands in the way of steps that are repeated.
    obstacles: Arc<Mutex<Obstacles>>,
    /// What is said once, whatever step is repeated.
    once: Arc<Mutex<Once>>,
    /// Whether clocks that differ were told: once is enough, whoever is met again.
    clocks: Arc<AtomicBool>,
}

/// Most texts that are remembered as said: some rounds of a large study. Their words may be an
/// aggregator's, which could fill the memory else.
const MOST_SAID: usize = 4096;

/// What was said, as far as it is remembered.
#[derive(Debug, Default)]
struct Once {
    said: BTreeSet<[u8; 32]>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
}

impl Once {
    /// Whether this was not said yet. The oldest is forgotten where there are too many.
    fn is_new(&mut self, what: &str) -> bool {
        let digest = *blake3::hash(what.as_bytes()).as_bytes();
        if !self.said.insert(digest) {
            return false;
        }
        self.order.push_back(digest);
        if self.order.len() > MOST_SAID
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
        true
    }
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Telling({})", if self.told.is_some() { "somebody" } else { "nobody" })
    }
}

impl Telling {
    fn tell(&self, event: &Event) {
        let Some(told) = &self.told else { return };
        let is_news = event.said_once().is_none_or(|what| {
            let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
            once.is_new(&what)
        });
        if is_news {
            told(event);
        }
    }

    /// Whether this is news: the round has another state, or others have come. A site waits in
    /// several places at once, each with its own end; the first that sees a change tells it, and
    /// one that sees an older version of the round is late.
    fn is_news(&self, version: u64, wait: &RoundWait) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match &*last {
            Some((told, before)) if before.round == wait.round => {
                version >= *told
                    && (before.state, &before.came, &before.missing)
                        != (wait.state, &wait.came, &wait.missing)
            }
            Some((_, before)) => wait.round > before.round,
            None => true,
        };
        if news {
            *last = Some((version, wait.clone()));
        }
        news
    }
}

impl Site {
    /// Tells somebody what happens at this site, such as a command that prints it.
    #[must_use]
    pub fn telling(self, told: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let telling = Telling { told: Some(Arc::new(told)), ..Telling::default() };
        self.with(|site| site.telling = telling.clone())
    }

    /// Tells what has happened; nothing again that happens once in a round, as where a step is repeated
    /// because the aggregator was away.
    pub fn tell(&self, event: &Event) {
        self.telling.tell(event);
    }

    /// Tells that a step which began then is repeated, and why; once where several steps meet the same
    /// obstacle.
    pub fn tell_repeating(
        &self,
        obstacle: &Obstacle,
        reason: &str,
        began: Moment,
        until: UnixSeconds,
    ) {
        let obstacles = &self.telling.obstacles;
        let mut obstacles = obstacles.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = obstacles.met(obstacle, began);
        drop(obstacles);
        if is_news {
            self.tell(&Event::Repeating { reason: reason.to_owned(), until });
        }
    }

    /// Tells that a step has succeeded which met these obstacles, if that was not told yet.
    pub fn tell_resumed(&self, met: &BTreeSet<Obstacle>) {
        let obstacles = &self.telling.obstacles;
        let mut obstacles = obstacles.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = obstacles.are_gone(met, self.clock.moment());
        drop(obstacles);
        if is_news {
            self.tell(&Event::Resumed);
        }
    }

    /// Tells of clocks that differ, the first time.
    pub(crate) fn tell_clocks(&self, apart: ClocksApart) {
        if !self.telling.clocks.swap(true, Ordering::Relaxed) {
            self.tell(&Event::ClocksApart(apart));
        }
    }

    /// How the round stands that this site waited in last.
    pub fn waiting(&self) -> Option<RoundWait> {
        let last = self.telling.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(_, wait)| wait.clone())
    }

    /// Tells how a round stands that this site waits in, if that is news.
    pub(crate) fn tell_waiting(&self, status: &RoundStatus, wait: RoundWait) {
        if self.telling.is_news(status.version, &wait) {
            self.tell(&Event::Waiting(wait));
        }
    }

    /// Tells who has said that it holds a round's model, where the others are waited for before the next
    /// round goes on, if that is news.
    pub(crate) fn tell_agreement(&self, wait: RoundWait) {
        let mut last = self.telling.agreement.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = (wait.round, wait.came.clone());
        if last.as_ref() != Some(&stands) {
            *last = Some(stands);
            drop(last);
            self.tell(&Event::Waiting(wait));
        }
    }

    /// Tells that the aggregator refused what was wanted, and what this site does about it.
    pub fn tell_refused(&self, wanted: &str, refusal: &TransportError, so: &str) {
        if let TransportError::Refused { status, detail, .. } = refusal {
            let (wanted, so) = (wanted.to_owned(), so.to_owned());
            self.tell(&Event::Refused { wanted, status: *status, detail: detail.clone(), so });
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
    use ringfence_crypto::round::RoundState;
    use ringfence_crypto::wire::json;

    use super::*;
    use crate::contribute::Sealing;

    fn wait(round: u32, came: &[&str], until: u64) -> RoundWait {
        let site = |name: &&str| name.parse::<SiteId>().unwrap();
        let missing = ["a", "b", "c"].iter().filter(|name| !came.contains(name));
        RoundWait {
            round: RoundNumber(round),
            state: RoundState::Collecting,
            came: Came::Received(came.iter().map(site).collect()),
            needed: 3,
            missing: missing.map(site).collect(),
            deadline: Some(UnixSeconds(1_800_000_000)),
            until: UnixSeconds(until),
        }
    }

    #[test]
    fn only_what_changes_is_news() {
        let telling = Telling::default();
        assert!(telling.is_news(1, &wait(0, &["a"], 10)));
        // Looked at again, by whoever waits, and with another end.
        assert!(!telling.is_news(1, &wait(0, &["a"], 20)));
        assert!(telling.is_news(2, &wait(0, &["a", "b"], 10)));
        // An older look that arrives late.
        assert!(!telling.is_news(1, &wait(0, &["a"], 10)));
        assert!(telling.is_news(1, &wait(1, &[], 10)));
        assert!(!telling.is_news(9, &wait(0, &["a", "b", "c"], 10)));
    }

    #[test]
    fn what_happens_once_in_a_round_is_told_once_however_often_a_step_is_repeated() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let listen = move |event: &Event| heard.lock().unwrap().push(event.to_string());
        let telling = Telling { told: Some(Arc::new(listen)), ..Telling::default() };
        let contributed = |round, clipped: Option<&str>| Event::Contributed {
            round: RoundNumber(round),
            bytes: 1 << 20,
            clipped: clipped.map(str::to_owned),
            sealing: Sealing::default(),
        };
        let refused = |detail: &str| Event::Refused {
            wanted: "this site's contribution to round 0".into(),
            status: 409,
            detail: detail.into(),
            so: "it waits".into(),
        };
        let until = UnixSeconds(1_800_000_000);
        let away = Event::Repeating { reason: "away".into(), until };
        // Sent again, less is known of it; and a refusal says what time it is.
        telling.tell(&contributed(0, Some("clipped")));
        telling.tell(&refused("now 08:00:00"));
        for _ in 0..2 {
            telling.tell(&away);
            telling.tell(&Event::Resumed);
            telling.tell(&contributed(0, None));
            telling.tell(&refused("now 08:00:09"));
        }
        telling.tell(&contributed(1, None));
        let told = told.lock().unwrap().join("\n");
        let count = |text: &str| told.matches(text).count();
        assert_eq!(count("round 0: contributed") + count("round 1: contributed"), 2, "{told}");
        assert_eq!((count("409"), count("away"), count("that is over")), (1, 2, 2), "{told}");
    }

    #[test]
    fn what_was_said_once_does_not_fill_the_memory() {
        let mut once = Once::default();
        for text in 0..2 * MOST_SAID {
            assert!(once.is_new(&text.to_string()));
            assert!(!once.is_new(&text.to_string()));
            assert!(once.said.len() <= MOST_SAID && once.order.len() <= MOST_SAID);
        }
        assert!(once.is_new("0"));
        assert!(!once.is_new(&(2 * MOST_SAID - 1).to_string()));
    }

    #[test]
    fn a_wait_says_who_has_come_who_is_missing_and_until_when() {
        assert_eq!(
            wait(3, &["a", "c"], 1_800_003_600).to_string(),
            "round 3: 2 of 3 contributions are there (a, c); missing: b; the time for them ends 2027-01-15 08:00:00 UTC; waiting until 2027-01-15 09:00:00 UTC at most"
        );
        let nobody = wait(0, &[], 1_800_003_600).to_string();
        assert!(nobody.starts_with("round 0: 0 of 3 contributions are there; missing: a, b, c;"));
        let all = wait(0, &["a", "b", "c"], 1_800_003_600).to_string();
        assert_eq!(
            all,
            "round 0: 3 of 3 contributions are there (a, b, c); waiting for the aggregator until 2027-01-15 09:00:00 UTC at most"
        );
        // Under the names that the round's status has.
        let json = json::compact(&Event::Waiting(wait(3, &["a"], 9)));
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"event":"waiting","round":3,"state":"collecting","received":["a"],"needed":3,"missing":["b","c"],"deadline":1800000000,"until":9}"#
        );
    }
}
