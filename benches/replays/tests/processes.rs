//! A short study of real processes, which lie beside this test's folder (`cargo build` builds them).

use ringfence_replays::{Size, processes};

#[test]
fn a_short_study_of_processes_outlives_its_kills() {
    let own = std::env::current_exe().unwrap();
    let programs = own.parent().unwrap().parent().unwrap();
    let counts = processes(programs, 5, Size { sites: 4, rounds: 2 }).unwrap();
    assert_eq!(counts.means, 8, "{counts:?}");
}
