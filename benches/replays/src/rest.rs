//! Whether this process rests: no thread but the one that asks runs, waits for a processor or for a
//! disk. A mock clock is turned only then, so that what takes time on this machine takes none there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

const THREADS: &str = "/proc/self/task";

/// The threads of this process, but for the one that looks at them. A replay looks some hundred
/// thousand times: what the operating system tells of a thread stays open.
#[derive(Debug)]
pub(crate) struct Rest {
    own: u32,
    threads: BTreeMap<u32, Thread>,
    /// The one that was awake at the last look: most looks find it awake still, and no other is asked.
    awake: Option<u32>,
    /// One of those that are listed has ended.
    has_lost: bool,
}

#[derive(Debug)]
struct Thread {
    stat: File,
    schedstat: File,
    /// How often it had run at the last look.
    runs: u64,
}

/// What a look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// All sleep.
    Asleep,
    /// Somebody has run since the look before.
    HasRun,
    /// Somebody runs, or is about to.
    Awake,
}

impl Rest {
    /// Looks from this thread.
    ///
    /// # Errors
    /// What the operating system says; only Linux tells.
    pub(crate) fn new() -> io::Result<Self> {
        let link = fs::read_link("/proc/thread-self")?;
        let own = link.file_name().and_then(|name| name.to_str()?.parse().ok());
        let missing = || io::Error::other("expected a thread's number in /proc/thread-self");
        let own = own.ok_or_else(missing)?;
        Ok(Self { own, threads: BTreeMap::new(), awake: None, has_lost: false })
    }

    /// Whether all other threads were asleep at one moment, between two looks: one that slept at both
    /// and did not run between them slept throughout. What nobody wakes then, nobody wakes before time
    /// passes.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn rests(&mut self) -> io::Result<bool> {
        let awake = self.awake.and_then(|number| self.threads.get(&number));
        // One that has ended is no longer awake, and is found out below.
        if awake.is_some_and(|thread| matches!(thread.is_asleep(), Ok(false))) {
            return Ok(false);
        }
        self.awake = None;
        self.list()?;
        Ok(self.look() != Found::Awake && self.look() == Found::Asleep && self.is_listed()?)
    }

    fn look(&mut self) -> Found {
        let mut found = Found::Asleep;
        for (number, thread) in &mut self.threads {
            match thread.sleeping() {
                Ok(Some(runs)) if runs == thread.runs => {}
                Ok(Some(runs)) => {
                    thread.runs = runs;
                    found = Found::HasRun;
                }
                Ok(None) => {
                    self.awake = Some(*number);
                    return Found::Awake;
                }
                Err(_) => {
                    self.has_lost = true;
                    return Found::Awake;
                }
            }
        }
        found
    }

    /// Whether there are as many threads as are listed. One that has ended cannot be read any more.
    fn is_listed(&self) -> io::Result<bool> {
        // Linux counts a process's threads as links of the folder, beside the usual two.
        let others = fs::metadata(THREADS)?.nlink().saturating_sub(3);
        Ok(others == self.threads.len() as u64)
    }

    /// Lists the threads anew where some have come or gone.
    fn list(&mut self) -> io::Result<()> {
        if !self.has_lost && self.is_listed()? {
            return Ok(());
        }
        self.threads.retain(|_, thread| thread.sleeping().is_ok());
        self.has_lost = false;
        for entry in fs::read_dir(THREADS)? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if number == self.own || self.threads.contains_key(&number) {
                continue;
            }
            // One that is gone already is none.
            if let Ok(thread) = Thread::open(number) {
                self.threads.insert(number, thread);
            }
        }
        Ok(())
    }
}

impl Thread {
    fn open(number: u32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("{THREADS}/{number}/{name}"));
        Ok(Self { stat: open("stat")?, schedstat: open("schedstat")?, runs: 0 })
    }

    fn is_asleep(&self) -> io::Result<bool> {
        let mut buffer = [0; 512];
        let stat = read(&self.stat, &mut buffer)?;
        // The name, in brackets, may hold anything.
        let after = stat.rfind(')').and_then(|end| stat.get(end..));
        Ok(after.is_some_and(|after| after.starts_with(") S ")))
    }

    /// How often it has run, if it sleeps.
    fn sleeping(&self) -> io::Result<Option<u64>> {
        if !self.is_asleep()? {
            return Ok(None);
        }
        let mut buffer = [0; 512];
        let runs = read(&self.schedstat, &mut buffer)?.split_ascii_whitespace().nth(2);
        let unknown = || io::Error::other("expected three numbers in schedstat");
        runs.and_then(|runs| runs.parse().ok()).map(Some).ok_or_else(unknown)
    }
}

fn read<'a>(file: &File, buffer: &'a mut [u8]) -> io::Result<&'a str> {
    let length = file.read_at(buffer, 0)?;
    std::str::from_utf8(buffer.get(..length).unwrap_or(&[])).map_err(io::Error::other)
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
        let mut rest = Rest::new().unwrap();
        let mut until = |wanted: bool| {
            let found = (0..5000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                rest.rests().unwrap() == wanted
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
            assert!(!Rest::new().unwrap().rests().unwrap());
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
