//! A closed pipe, as behind `| head -1`.

use std::panic;
use std::process;

/// What a program ends with whose output nobody reads any more: 128 and the number of SIGPIPE, what
/// a shell reports of a program that this signal ended.
pub const CLOSED_PIPE: u8 = 141;

/// From now on a `println!` or `eprintln!` into a closed pipe ends the process with
/// [`CLOSED_PIPE`], and without a word. Call it first in `main`.
///
/// Rust ignores SIGPIPE, and these macros panic instead. To undo that would take unsafe code; the
/// hook sees every such panic, of any thread, before anything is printed of it.
pub fn quiet_on_closed_pipes() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(says_closed_pipe) {
            process::exit(CLOSED_PIPE.into());
        }
        usual(info);
    }));
}

/// Whether a panic is that of a print into a closed pipe. The tests of the commands hold this
/// against what the standard library says.
fn says_closed_pipe(panic: &str) -> bool {
    panic.starts_with("failed printing to std") && panic.contains("Broken pipe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prints_into_closed_pipes_are_quiet() {
        assert!(says_closed_pipe("failed printing to stdout: Broken pipe (os error 32)"));
        assert!(says_closed_pipe("failed printing to stderr: Broken pipe (os error 32)"));
        assert!(!says_closed_pipe("failed printing to stdout: No space left on device"));
        assert!(!says_closed_pipe("Broken pipe"));
    }
}
