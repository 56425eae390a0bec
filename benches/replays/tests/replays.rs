//! Two short replays. Alone in this program: whether all rests is asked of the whole process.

use ringfence_replays::{Size, replay};

#[test]
fn short_studies_outlive_their_outages() {
    for seed in [2, 3] {
        let counts = replay(seed, Size { sites: 4, rounds: 3 }).unwrap();
        assert_eq!(
            (counts.wrong_means, counts.left_out, counts.named, counts.aborted),
            (0, 0, 0, 0)
        );
        assert!(counts.means >= 9, "{counts:?}");
    }
}
