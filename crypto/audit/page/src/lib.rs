//! `ringfence-audit` for a page: the same library, compiled to WebAssembly for `make.py`, which puts it
//! into one file of HTML.
//!
//! The page's worker gives the files of the folder that the officer has chosen (`host`), piece by
//! piece as they are asked for, and calls `audit`. No bindings are generated: a handful of functions
//! of plain numbers need none, and so nothing is built but what is in this repository's lock file.
#![cfg(target_arch = "wasm32")]

mod host;

use std::cell::RefCell;

use ringfence_audit::{Options, audit_with_progress, page};

/// What came of the audit: the report as a page and as JSON, or why there is none.
#[derive(Default)]
struct Outcome {
    page: String,
    json: String,
}

thread_local! {
    static OUTCOME: RefCell<Outcome> = RefCell::default();
}

/// Audits the folder, and answers with what the command would end with. `sample` parts of each sum are
/// added up, chosen by `seed`, or all of it with 0; `with_bodies` is 0 where none are expected.
#[expect(unsafe_code, reason = "the page calls it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn audit(sample: u32, with_bodies: u32, seed: u64) -> u32 {
    let options = Options {
        sample: (sample > 0).then_some(sample),
        without_bodies: with_bodies == 0,
        seed: Some(seed),
        // Comparing with other checkpoints is the command's.
        seen: Vec::new(),
    };
    let (code, outcome) = match audit_with_progress(&host::Chosen, &options, &host::tell) {
        Ok(report) => {
            let json = serde_json::to_string(&report).unwrap_or_default();
            (report.exit_code().into(), Outcome { page: page(&report), json })
        }
        Err(error) => (2, Outcome { page: error.to_string(), json: String::new() }),
    };
    OUTCOME.set(outcome);
    code
}

/// Where a text of the outcome is: 0 the page or, after an end with 2, why there is none; 1 the JSON.
#[expect(unsafe_code, reason = "the page calls it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn text_at(which: u32) -> *const u8 {
    with_text(which, str::as_ptr)
}

/// How many bytes it has.
#[expect(unsafe_code, reason = "the page calls it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn text_length(which: u32) -> usize {
    with_text(which, str::len)
}

fn with_text<T>(which: u32, of: impl FnOnce(&str) -> T) -> T {
    OUTCOME.with_borrow(|outcome| of(if which == 0 { &outcome.page } else { &outcome.json }))
}
