//! HTTP to the aggregator: bounded answers, problems as errors, retries of what is idempotent.

mod address;
mod connection;
mod contributions;
mod disputes;
mod error;
mod log;
mod meet;
mod openings;
mod printable;
mod round;
mod study;

pub(crate) use connection::POLL;
pub use connection::Transport;
pub use error::TransportError;
pub(crate) use error::present;
pub use meet::ClocksApart;
pub use openings::Openings;
pub use printable::escaped;
pub(crate) use printable::printable;
pub use round::RoundTransport;
