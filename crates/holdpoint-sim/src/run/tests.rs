//! Whole runs: the same seed tells the same story, and worlds with faults end well.

use super::*;

#[test]
fn a_handful_of_seeds_keep_every_invariant_and_converge() {
    for seed in 0..40 {
        let report = run(seed, false);
        assert_eq!(report.failure, None, "repeat it with: cargo xtask sim --seed {seed}");
    }
}

#[test]
fn a_seed_has_one_story() {
    let (first, second) = (run(3, true), run(3, true));
    assert!(first.story.lines().count() > 50, "{}", first.story);
    assert_eq!(first.story, second.story);
    assert_ne!(first.story, run(4, true).story);
}

#[test]
fn a_run_is_the_same_whether_or_not_it_is_told() {
    let (told, untold) = (run(5, true), run(5, false));
    assert_eq!(told.steps, untold.steps);
    assert_eq!(untold.story, "");
}
