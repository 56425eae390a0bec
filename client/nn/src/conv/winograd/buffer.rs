//! Memory for what lies between two steps: it begins with a line of the cache, so that no register's
//! load touches two, and a thread keeps it for its next use, so that nothing is cleared.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Bytes of a line.
const LINE: usize = 64;
/// Values of a line.
const GAP: usize = LINE / size_of::<f32>();
/// How many a thread keeps: as many as one task uses at a time.
const KEPT: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// So many values, whatever they were before.
#[derive(Debug)]
pub(super) struct Buffer {
    values: Vec<f32>,
    start: usize,
    count: usize,
}

impl Buffer {
    pub(super) fn of(count: usize) -> Self {
        let needed = count + GAP;
        let mut values = FREE.with_borrow_mut(|free| {
            // The smallest that is large enough.
            let fits = free.iter().enumerate().filter(|(_, values)| values.len() >= needed);
            let fits = fits.min_by_key(|(_, values)| values.len()).map(|(index, _)| index);
            fits.map_or_else(Vec::new, |index| free.swap_remove(index))
        });
        if values.len() < needed {
            values = vec![0.0; needed];
        }
        let start = values.as_ptr().align_offset(LINE).min(GAP);
        Self { values, start, count }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        // A thread that ends keeps nothing.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            free.push(values);
            if free.len() > KEPT {
                let least = free.iter().enumerate().min_by_key(|(_, values)| values.len());
                if let Some((index, _)) = least {
                    free.swap_remove(index);
                }
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.count]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.count]
    }
}
