//! Whether somebody reads what is printed. Whoever prints only what is new would notice it late.

use std::future::pending;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Ends once standard output is a pipe or a socket that nobody reads from any more; never where it is
/// something else.
pub(super) async fn gone() {
    // What the system cannot watch, such as a file, is read by nobody in particular.
    let Ok(output) = AsyncFd::with_interest(std::io::stdout(), Interest::WRITABLE) else {
        return pending().await;
    };
    while let Ok(mut state) = output.writable().await {
        if state.ready().is_write_closed() {
            return;
        }
        state.clear_ready();
    }
    pending().await
}
