//! HTTP to the aggregator, with TLS or on loopback: bounded answers, problems as errors, retries of what is idempotent.

mod address;
mod brought;
mod carrier;
mod cause;
mod connection;
mod contributions;
mod credentials;
mod disputes;
mod download;
mod drafts;
mod error;
mod kinds;
mod log;
mod meet;
mod openings;
mod passing;
mod pause;
mod printable;
mod proxy;
mod round;
mod study;
mod tls;

pub use carrier::{Carried, Carrier};
pub(crate) use connection::POLL;
pub use connection::{Transport, Way};
pub use error::TransportError;
pub(crate) use kinds::present;
pub use meet::ClocksApart;
pub use openings::Openings;
pub use pause::jittered;
pub use printable::escaped;
pub(crate) use printable::printable;
pub use round::RoundTransport;
