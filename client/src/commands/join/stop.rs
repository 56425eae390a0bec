//! SIGTERM and SIGINT: what is being written is finished, and it is said how to go on.

use std::process::{self, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// A signal that ends the command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    /// SIGINT, as by ctrl-c.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// What the command ends with: 128 and the signal's number, as shells report a program that it
    /// ended.
    fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl From<Signal> for ExitCode {
    fn from(signal: Signal) -> Self {
        Self::from(signal.code())
    }
}

/// From now on the first signal is sent on, and a second one ends the process at once: everything
/// that it must remember is on disk before it is needed. In a task of its own, so that the second
/// one is heard whatever else is going on.
///
/// # Errors
/// When signals cannot be waited for.
pub(super) fn listen() -> anyhow::Result<oneshot::Receiver<Signal>> {
    let handler = |kind| unix::signal(kind).context("cannot wait for signals");
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let (first, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            }
        };
        let signal = next().await;
        // Whoever works has ended where this is not heard.
        let _ = first.send(signal);
        process::exit(next().await.code().into());
    });
    Ok(stopped)
}

/// The writes of the training's thread, which goes on while the command ends. All others happen in
/// the command's own task, which no signal interrupts.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<()>>);

impl Writes {
    /// Writes something whole, unless the command ends.
    pub(super) fn whole<T>(&self, write: impl FnOnce() -> T) -> T {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write()
    }

    /// Waits for the write that is going on, and lets no other begin: for ever, so that the process
    /// must end then.
    pub(super) fn finish(self) {
        tokio::task::block_in_place(|| {
            std::mem::forget(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        });
    }
}
