//! Runs side by side, each on one thread: tasks as small as these lose more by being divided than
//! they gain. `RAYON_NUM_THREADS=1` saves half of the time beyond that: without it the tensor
//! library counts the machine's cores anew before every product of matrices.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, anyhow};

/// `run` of each number below `runs`, in that order.
///
/// # Errors
/// The first error of a run, and when the system gives no thread.
pub(crate) fn each<T: Send>(
    runs: u32,
    run: impl Fn(u32) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let next = AtomicU32::new(0);
    let worker = || -> anyhow::Result<Vec<(u32, T)>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let work = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let numbers = numbers.take_while(|number| *number < runs);
            numbers.map(|number| Ok((number, run(number)?))).collect()
        };
        pool.context("cannot start a thread")?.install(work)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut done = thread::scope(|scope| {
        let started: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut done = Vec::new();
        for thread in started {
            done.extend(thread.join().map_err(|_| anyhow!("a thread of the laboratory failed"))??);
        }
        anyhow::Ok(done)
    })?;
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[test]
    fn runs_come_in_their_order_and_an_error_ends_them() {
        let squares = each(100, |number| Ok(number * number)).unwrap();
        assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        let error = each(100, |number| {
            ensure!(number != 7, "seven");
            Ok(())
        });
        assert_eq!(error.unwrap_err().to_string(), "seven");
        assert_eq!(each(1, |_| Ok(rayon::current_num_threads())).unwrap(), [1]);
    }
}
