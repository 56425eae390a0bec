//! The commands, one file each; a folder holds what belongs to one command alone.

pub(crate) mod best_model;
pub(crate) mod bundle;
pub(crate) mod contribute;
pub(crate) mod demo;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod keygen;
pub(crate) mod ledger;
pub(crate) mod mean;
pub(crate) mod open;
pub(crate) mod predict;
pub(crate) mod privacy;
pub(crate) mod restored;
pub(crate) mod round;
pub(crate) mod status;
pub(crate) mod study;
pub(crate) mod witness;
