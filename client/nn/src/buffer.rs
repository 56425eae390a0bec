//! Memory for what lies between two steps: it begins with a line of the cache, so that no register's
//! load touches two, and a thread keeps it for its next use, so that nothing is cleared.

use std::cell::RefCell;
use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::sync::Once;
use std::thread::LocalKey;

/// Bytes of a line.
const LINE: usize = 64;
/// How many a thread keeps, and of how many bytes in all: those of a part of a batch.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1 << 26;

/// What a thread keeps.
pub(crate) type Free<T> = RefCell<Vec<Vec<T>>>;

/// Numbers that a thread keeps memory for.
pub(crate) trait Kept: Copy + Default + 'static {
    /// The thread's.
    fn free() -> &'static LocalKey<Free<Self>>;
    /// A buffer whose type is to be found again.
    fn erased(buffer: Buffer<Self>) -> AnyBuffer;
    /// Its values, if they are of this type.
    fn values(buffer: &AnyBuffer) -> Option<&[Self]>;
}

/// A buffer of either type.
#[derive(Debug)]
pub(crate) enum AnyBuffer {
    /// Of `f32`.
    F32(Buffer<f32>),
    /// Of `f64`.
    F64(Buffer<f64>),
}

macro_rules! kept {
    ($type:ident, $of:ident) => {
        impl Kept for $type {
            fn free() -> &'static LocalKey<Free<Self>> {
                thread_local! {
                    static FREE: Free<$type> = const { RefCell::new(Vec::new()) };
                }
                &FREE
            }
            fn erased(buffer: Buffer<Self>) -> AnyBuffer {
                AnyBuffer::$of(buffer)
            }
            fn values(buffer: &AnyBuffer) -> Option<&[Self]> {
                match buffer {
                    AnyBuffer::$of(buffer) => Some(buffer),
                    _ => None,
                }
            }
        }
    };
}
kept!(f32, F32);
kept!(f64, F64);

/// So many values, whatever they were before.
#[derive(Debug)]
pub(crate) struct Buffer<T: Kept> {
    values: Vec<T>,
    start: usize,
    count: usize,
}

/// Once in a process: lets the C library keep memory that tensors are freed to. It gives back to the
/// system what is more than twice the largest block freed so far (mallopt(3), `M_TRIM_THRESHOLD`), and
/// what a training step frees it asks for again in the next, page by page. Other libraries do not mind.
fn keep_freed() {
    static ONCE: Once = Once::new();
    // The largest that counts is 32 MiB.
    ONCE.call_once(|| drop(black_box(vec![0_u8; (32 << 20) - (1 << 16)])));
}

impl<T: Kept> Buffer<T> {
    pub(crate) fn of(count: usize) -> Self {
        keep_freed();
        let gap = LINE / size_of::<T>();
        let needed = count + gap;
        let mut values = T::free().with_borrow_mut(|free| {
            // The smallest that is large enough, but none that is far too large.
            let fits = |values: &Vec<T>| (needed..=4 * needed).contains(&values.len());
            let found = free.iter().enumerate().filter(|(_, values)| fits(values));
            let found = found.min_by_key(|(_, values)| values.len()).map(|(index, _)| index);
            found.map_or_else(Vec::new, |index| free.swap_remove(index))
        });
        if values.len() < needed {
            values = vec![T::default(); needed];
        }
        let start = values.as_ptr().align_offset(LINE).min(gap);
        Self { values, start, count }
    }
}

impl<T: Kept> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        // A thread that ends keeps nothing.
        let _ = T::free().try_with(|free| {
            let mut free = free.borrow_mut();
            let bytes = |values: &Vec<T>| values.len() * size_of::<T>();
            let kept: usize = free.iter().map(bytes).sum();
            if free.len() < KEPT && kept + bytes(&values) <= KEPT_BYTES {
                free.push(values);
            }
        });
    }
}

impl<T: Kept> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.count]
    }
}

impl<T: Kept> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_keeps_is_used_again_and_bounded() {
        let first = Buffer::<f32>::of(1000);
        let place = first.values.as_ptr();
        assert_eq!(first.as_ptr() as usize % LINE, 0);
        drop(first);
        let second = Buffer::<f32>::of(900);
        assert_eq!((second.values.as_ptr(), second.len()), (place, 900));
        // Another at the same time is another, and one that is far smaller takes none so large.
        assert_ne!(Buffer::<f32>::of(900).values.as_ptr(), place);
        drop(second);
        assert_ne!(Buffer::<f32>::of(10).values.as_ptr(), place);
        let many: Vec<Buffer<f32>> = (0..KEPT + 9).map(|_| Buffer::of(10)).collect();
        drop(many);
        drop(Buffer::<f32>::of(KEPT_BYTES / 4));
        let kept = |free: &mut Vec<Vec<f32>>| (free.len(), free.iter().map(Vec::len).sum());
        let (count, values): (usize, usize) = f32::free().with_borrow_mut(kept);
        assert!(count <= KEPT && values * 4 <= KEPT_BYTES, "{count} of {values}");
    }
}
