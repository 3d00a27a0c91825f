//! Parallel use is normal: many commands on many containers, and on the same one, at once.

use crate::support::Sandbox;
use std::time::Duration;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

#[test]
fn a_hundred_are_started_listed_and_removed_at_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    let starts: Vec<_> = (0..100)
        .map(|n| sandbox.line(&format!("run -d --name c{n} --network none busybox sleep 100")).spawn())
        .collect();
    // Whoever lists meanwhile is not disturbed.
    for _ in 0..5 {
        sandbox.line("ps -a").output().ok();
    }
    for start in starts {
        assert_eq!(start.wait().ok().trim().len(), 64);
    }
    assert_eq!(sandbox.line("ps -q").output().ok().lines().count(), 100);
    let removed = sandbox.sh("runr ps -aq | xargs runr rm -f -t 0").limit(Duration::from_secs(120)).output().ok();
    assert_eq!(removed.lines().count(), 100);
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    let names = std::fs::read_dir(sandbox.store().join("names")).unwrap().flatten();
    let names: Vec<_> = names.map(|e| e.file_name()).filter(|n| n != ".lock").collect();
    assert!(names.is_empty(), "stale names: {names:?}");
}

#[test]
fn commands_on_one_container_do_not_trip_over_each_other() {
    need!(userns, shell);
    let sandbox = sandbox();
    for round in 0..10 {
        let name = format!("c{round}");
        sandbox.line(&format!("run -d --name {name} --network none busybox sleep 100")).output().ok();
        let exec = sandbox.line(&format!("exec {name} sleep 50")).spawn();
        let stops: Vec<_> = (0..2).map(|_| sandbox.line(&format!("stop -t 0 {name}")).spawn()).collect();
        let list = sandbox.line("ps -a").spawn();
        let remove = sandbox.line(&format!("rm -f -t 0 {name}")).spawn();
        list.wait().ok();
        // Whichever came first: it was stopped, or it was gone by then.
        for stop in stops {
            let out = stop.wait();
            assert!(out.code() == 0 || out.stderr.contains("no such container"), "{}", out.stderr);
        }
        remove.wait().ok();
        let out = exec.wait();
        assert!(matches!(out.code(), 137 | 125 | 255), "exec: {} {}", out.code(), out.stderr);
        assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    }
}

#[test]
fn a_name_is_given_to_one_of_many() {
    need!(userns, shell);
    let sandbox = sandbox();
    let starts: Vec<_> =
        (0..12).map(|_| sandbox.line("run -d --name one --network none busybox sleep 100").spawn()).collect();
    let results: Vec<i32> = starts.into_iter().map(|s| s.wait().code()).collect();
    assert_eq!(results.iter().filter(|c| **c == 0).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|c| **c == 125).count(), 11, "{results:?}");
    assert_eq!(sandbox.line("ps -aq").output().ok().lines().count(), 1);
    sandbox.line("rm -f -t 0 one").output().ok();
}

#[test]
fn one_start_of_many_starts_it_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox
        .line("create --name c --network none busybox")
        .args(["sh", "-c", "echo x >> /runs; sleep 100"])
        .output()
        .ok();
    let starts: Vec<_> = (0..8).map(|_| sandbox.line("start c").spawn()).collect();
    for start in starts {
        assert_eq!(start.wait().ok(), "c\n");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sandbox.line("exec c cat /runs").output().ok(), "x\n");
    sandbox.line("rm -f -t 0 c").output().ok();
}
