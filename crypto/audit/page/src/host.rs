//! What the page gives: the files of a folder, and an ear for the progress.

use std::cell::Cell;
use std::io;

use ringfence_audit::{Files, Step};

/// Most bytes of a name in a folder; longer ones are none of an export.
const MAX_NAME: usize = 256;

mod page {
    #[expect(
        unsafe_code,
        reason = "functions of the page's worker, each within the bytes it is given"
    )]
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        /// Bytes of a file; -1 where there is none.
        pub(super) safe fn length(name: *const u8, bytes: usize) -> f64;
        /// Puts `length` bytes of a file from `start` on there; 0 if they could be read.
        pub(super) safe fn read(
            name: *const u8,
            bytes: usize,
            start: f64,
            length: usize,
            into: *mut u8,
        ) -> i32;
        /// Puts the name of the file number `index` of a folder there, and says how long it is; -1 after
        /// the last, 0 for one that has no room.
        pub(super) safe fn name(
            folder: *const u8,
            bytes: usize,
            index: u32,
            room: usize,
            into: *mut u8,
        ) -> i32;
        /// Shows where the audit is.
        pub(super) safe fn tell(words: *const u8, bytes: usize);
    }
}

/// The folder that was chosen.
pub(crate) struct Chosen;

impl Files for Chosen {
    fn name(&self) -> String {
        "the chosen folder".to_owned()
    }

    fn length(&self, file: &str) -> io::Result<Option<u64>> {
        let length = page::length(file.as_ptr(), file.len());
        // A browser's files have fewer than 2^53 bytes.
        Ok((length >= 0.0).then_some(length as u64))
    }

    fn read(&self, file: &str, start: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        into.resize(length, 0);
        match page::read(file.as_ptr(), file.len(), start as f64, length, into.as_mut_ptr()) {
            0 => Ok(()),
            _ => Err(io::Error::other("the browser could not read it, or it ends too early")),
        }
    }

    fn names(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut name = [0; MAX_NAME];
        for index in 0.. {
            let length =
                page::name(folder.as_ptr(), folder.len(), index, name.len(), name.as_mut_ptr());
            let Ok(length) = usize::try_from(length) else { break };
            if let Some(Ok(name)) = name.get(..length).map(str::from_utf8) {
                each(name);
            }
        }
        Ok(())
    }
}

/// Shows where the audit is: of a sum each part that is another hundredth.
pub(crate) fn tell(step: Step) {
    thread_local! {
        static TOLD: Cell<u64> = const { Cell::new(0) };
    }
    if let Step::Sum { done, of, .. } = step {
        let hundredth = done.saturating_mul(100) / of.max(1);
        if TOLD.replace(hundredth) == hundredth {
            return;
        }
    }
    let words = step.to_string();
    page::tell(words.as_ptr(), words.len());
}
