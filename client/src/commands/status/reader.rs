//! Whether somebody reads what is printed. Whoever prints only what is new would notice it late.

use std::future::pending;
use std::os::fd::AsFd as _;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// Ends once standard output is a pipe that nobody reads from any more; never where it is something
/// else.
pub(super) async fn gone() {
    // A handle of its own, by which nothing is written: that would take a pipe that never blocks, and
    // what prints counts on one that does.
    let output =
        std::io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    // What the system cannot watch, such as a file, is read by nobody in particular.
    let Ok(output) = output else { return pending().await };
    // The end that is written to has an error from the moment on when the other one is closed.
    if output.ready(Interest::ERROR).await.is_err() {
        pending().await
    }
}
