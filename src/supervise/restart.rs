//! When a container is started again, and after how long: docker's rules.
//!
//! The wait begins at 100 ms, doubles each time up to a minute, and begins anew once the container has run for ten seconds.

use crate::spec::options::RestartPolicy;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length counts as a success.
const STABLE: Duration = Duration::from_secs(10);

/// The wait before the next start.
#[derive(Debug)]
pub(super) struct BackOff(Duration);

impl BackOff {
    /// Of a container that has just been started by hand.
    pub(super) fn new() -> Self {
        Self(Duration::ZERO)
    }

    /// The wait after a run of this length.
    pub(super) fn after(&mut self, run: Duration) -> Duration {
        self.0 = if run >= STABLE || self.0.is_zero() { FIRST } else { (self.0 * 2).min(LONGEST) };
        self.0
    }
}

/// True if a container that ended with `code` by itself, and was started again `count` times already, is started again.
pub(super) fn is_due(policy: RestartPolicy, code: i32, count: u32) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::OnFailure(0) => code != 0,
        RestartPolicy::OnFailure(most) => code != 0 && count < most,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_until_a_run_is_long() {
        let mut wait = BackOff::new();
        let waits: Vec<u128> = (0..12).map(|_| wait.after(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(wait.after(Duration::from_secs(10)).as_millis(), 100);
        assert_eq!(wait.after(Duration::ZERO).as_millis(), 200);
    }

    #[test]
    fn policies() {
        use RestartPolicy::*;
        for (policy, code, count, again) in [
            (No, 1, 0, false),
            (OnFailure(0), 1, 99, true),
            (OnFailure(0), 0, 0, false),
            (OnFailure(3), 1, 2, true),
            (OnFailure(3), 1, 3, false),
            (Always, 0, 1000, true),
            (UnlessStopped, 0, 0, true),
        ] {
            assert_eq!(is_due(policy, code, count), again, "{policy:?} {code} {count}");
        }
    }
}
