//! Whether this process rests: no thread but the one that asks runs, waits for a processor or for a
//! disk. A mock clock is turned only then, so that what takes time on this machine takes none there.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// What is known of a thread: whether it sleeps, and how often it has run.
type Threads = BTreeMap<u32, (bool, u64)>;

/// Whether all other threads were asleep at one moment, between two looks: one that slept at both and
/// did not run between them slept throughout. What nobody wakes then, nobody wakes before time passes.
///
/// # Errors
/// What the operating system says; only Linux tells.
pub(crate) fn rests() -> io::Result<bool> {
    let own = own_thread()?;
    let first = look(own)?;
    if !first.values().all(|(sleeps, _)| *sleeps) {
        return Ok(false);
    }
    // A thread that came meanwhile was begun by one that ran; one that has gone, has run.
    Ok(look(own)? == first)
}

fn own_thread() -> io::Result<u32> {
    let link = fs::read_link("/proc/thread-self")?;
    let name = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    name.ok_or_else(|| io::Error::other("expected the number of a thread in /proc/thread-self"))
}

fn look(own: u32) -> io::Result<Threads> {
    let mut threads = Threads::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if thread == own {
            continue;
        }
        // One that has ended meanwhile has run, and is missed in the other look.
        let (Ok(stat), Ok(runs)) = (
            fs::read_to_string(format!("/proc/self/task/{thread}/stat")),
            fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")),
        ) else {
            return Ok(Threads::from([(thread, (false, 0))]));
        };
        // The name, in brackets, may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        let runs = runs.split_ascii_whitespace().nth(2).and_then(|runs| runs.parse().ok());
        threads.insert(thread, (state == Some('S'), runs.unwrap_or_default()));
    }
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_rests_while_all_others_wait() {
        // Alone in a process of its own: other tests have threads, too.
        if std::env::var_os("RINGFENCE_RESTS").is_none() {
            let own = std::env::current_exe().unwrap();
            let name = "rest::tests::a_process_rests_while_all_others_wait";
            let run = std::process::Command::new(own)
                .args(["--exact", name])
                .env("RINGFENCE_RESTS", "1")
                .status();
            assert!(run.unwrap().success());
            return;
        }
        let until = |wanted: bool| {
            let found = (0..5000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                rests().unwrap() == wanted
            });
            assert!(found, "{wanted}");
        };
        until(true);
        static STOP: AtomicBool = AtomicBool::new(false);
        let busy = std::thread::spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        for _ in 0..20 {
            assert!(!rests().unwrap());
        }
        STOP.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        let (wake, woken) = mpsc::channel::<()>();
        let waits = std::thread::spawn(move || woken.recv());
        until(true);
        wake.send(()).unwrap();
        waits.join().unwrap().unwrap();
    }
}
