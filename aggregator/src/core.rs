//! The service itself: studies, their rounds, and what happens to a contribution. No HTTP, no
//! database; time comes from a clock that is given.
//!
//! Reading order: [`study`] and [`log`] (what the rounds of a study share), [`round`] and
//! [`round_time`] (the round machine with a lock, a store and a time), [`commit`] (how messages change
//! it), [`rounds`] and [`studies`] (how they are opened, loaded and put to rest), [`drafts`] (studies
//! that wait for signatures), [`epochs`] and [`proposals`] (how the roster changes), [`upload`],
//! [`contribution`] and [`whole`] (what a site sends), [`closing`], [`sum`] and [`together`] (how a
//! round ends, alone or by several aggregators), [`opening`] and [`dispute`] (what is opened under which
//! certificate), [`evidence`] and [`witnesses`] (what an auditor is given, and who has seen the same
//! log), [`overview`], [`round_view`] and [`held`] (what people are shown), [`damage`] and
//! [`recovery`] (what happens when the store loses bytes or statements).
#![warn(clippy::indexing_slicing, reason = "what peers send must not be able to stop the service")]

pub(crate) mod closing;
pub(crate) mod cohorts;
pub(crate) mod commit;
pub(crate) mod contribution;
pub(crate) mod damage;
pub(crate) mod dispute;
pub(crate) mod draft_roster;
pub(crate) mod drafts;
pub(crate) mod epochs;
pub(crate) mod evidence;
pub(crate) mod held;
pub(crate) mod incoming;
mod kept_keys;
mod lease;
pub(crate) mod log;
mod news;
pub(crate) mod opening;
pub(crate) mod overview;
pub(crate) mod presence;
mod proposals;
pub(crate) mod recovery;
pub(crate) mod refusal;
mod replicas;
pub(crate) mod restored;
mod retention;
pub(crate) mod round;
pub(crate) mod round_keys;
pub(crate) mod round_list;
pub(crate) mod round_time;
pub(crate) mod round_view;
pub(crate) mod rounds;
pub(crate) mod senders;
pub(crate) mod shared;
pub(crate) mod studies;
pub(crate) mod study;
pub(crate) mod sum;
#[cfg(test)]
mod tests;
pub(crate) mod texts;
pub(crate) mod together;
pub(crate) mod upload;
pub(crate) mod uploading;
pub(crate) mod whole;
pub(crate) mod witnesses;
