//! Output that cannot be written: a closed pipe, as behind `| head -1`, or a full disk.

use std::io::Write as _;
use std::panic;
use std::process;

/// What a program ends with whose output nobody reads any more: 128 and the number of SIGPIPE, what
/// a shell reports of a program that this signal ended.
pub const CLOSED_PIPE: u8 = 141;

/// From now on a `println!` or `eprintln!` that cannot be written ends the process: into a closed pipe
/// with [`CLOSED_PIPE`] and without a word, else with 1 and one line on standard error, which begins
/// with the program's name. Call it first in `main`.
///
/// Rust ignores SIGPIPE, and these macros panic instead. To undo that would take unsafe code; the
/// hook sees every such panic, of any thread, before anything is printed of it.
pub fn end_on_lost_output(program: &'static str) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| match info.payload_as_str().and_then(Lost::of) {
        Some(Lost::ClosedPipe) => process::exit(CLOSED_PIPE.into()),
        Some(Lost::Unwritten(what)) => {
            // Where standard error is lost, too, there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{program}: cannot write to {what}");
            process::exit(1);
        }
        None => usual(info),
    }));
}

/// How a print failed.
#[derive(Debug, PartialEq, Eq)]
enum Lost {
    ClosedPipe,
    /// Where to, and why.
    Unwritten(String),
}

impl Lost {
    /// Of a panic's text. The tests of the commands hold this against what the standard library says.
    fn of(panic: &str) -> Option<Self> {
        let (stream, why) = panic.strip_prefix("failed printing to std")?.split_once(": ")?;
        if why.contains("Broken pipe") {
            return Some(Self::ClosedPipe);
        }
        let stream = if stream == "out" { "standard output" } else { "standard error" };
        Some(Self::Unwritten(format!("{stream}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failed_prints_end_the_program() {
        let of = Lost::of;
        let broken = "Broken pipe (os error 32)";
        assert_eq!(of(&format!("failed printing to stdout: {broken}")), Some(Lost::ClosedPipe));
        assert_eq!(of(&format!("failed printing to stderr: {broken}")), Some(Lost::ClosedPipe));
        let full = of("failed printing to stdout: No space left on device (os error 28)");
        let said = "standard output: No space left on device (os error 28)";
        assert_eq!(full, Some(Lost::Unwritten(said.to_owned())));
        assert_eq!(of("Broken pipe"), None);
        assert_eq!(of("index out of bounds"), None);
    }
}
