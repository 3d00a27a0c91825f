//! Kill -9 at any moment of a pull, a run, an rm or an rmi: the next command works, images are whole, and at the end no
//! process, no container and nothing in `tmp/` is left. `RUNR_TEST_ROUNDS` sets how often (CI: hundreds).

use crate::store::{files_below, settle};
use crate::support::{
    Compression, DockerRegistry, Entry, Image, ImageBuilder, Layer, Sandbox, base_layer, layer::Kind, leaks,
};
use nix::sys::signal::{Signal, kill};
use std::path::PathBuf;
use std::time::Duration;

/// How many rounds: `RUNR_TEST_ROUNDS`, else few enough for everybody's `cargo test`.
pub fn rounds(usual: u32) -> u32 {
    std::env::var("RUNR_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(usual)
}

/// What is killed in a round.
#[derive(Debug, Clone, Copy)]
enum Victim {
    /// The command that the user typed.
    Command,
    /// Every process of the sandbox: command, monitor, workers, container.
    All,
    /// One of them, whichever comes up.
    Any(usize),
}

/// Small numbers that look random, the same in each run: the moments differ anyway.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn moment(&mut self, below_micros: u64) -> Duration {
        Duration::from_micros(self.roll(below_micros))
    }

    fn victim(&mut self) -> Victim {
        match self.roll(3) {
            0 => Victim::Command,
            1 => Victim::All,
            _ => Victim::Any(usize::try_from(self.roll(8)).unwrap()),
        }
    }
}

/// An image whose layers take a moment, so that there is something to interrupt.
fn image() -> Image {
    let noise = crate::store::noise(7, 1 << 20);
    let mut many = Layer::new().dir("many/", 0o755);
    for n in 0..400 {
        many = many.entry(Entry::new(format!("many/{n}"), Kind::File(noise[n..n + 4096].to_vec())).owner(1, 1));
    }
    ImageBuilder::new()
        .layer(&base_layer())
        .layer_as(&Layer::new().file("noise", &noise), Compression::Zstd)
        .layer(&many)
        .build()
}

/// Starts a command, kills after a moment, waits until what was killed is gone.
fn strike(sandbox: &Sandbox, args: &[&str], after: Duration, victim: Victim) {
    let command = sandbox.runr(args).spawn();
    std::thread::sleep(after);
    let targets = match victim {
        Victim::Command => vec![command.pid()],
        Victim::All => leaks::processes_of(sandbox.dir()).iter().map(|p| p.0).collect(),
        Victim::Any(n) => {
            let processes = leaks::processes_of(sandbox.dir());
            processes.get(n % processes.len().max(1)).map(|p| p.0).into_iter().collect()
        }
    };
    for pid in targets {
        let _it_may_have_ended = kill(pid, Signal::SIGKILL);
    }
    // Whatever it says: it was killed, or a part of it was.
    let _outcome = command.wait();
}

/// Looks at every file that the image brought.
const CHECK: &str = "cat /many/* /noise | cksum; stat -c %a /many /many/7";

/// Ends the storm: nobody is there, nothing is left, the image can still be pulled and run, and goes without a trace.
fn aftermath(sandbox: &Sandbox, name: &str, expected: &str) {
    sandbox.runr(["rm", "-f", "-a"]).output().ok();
    assert_eq!(sandbox.runr(["ps", "-a", "-q"]).output().ok(), "");
    sandbox.runr(["images"]).output().ok();
    assert_eq!(sandbox.runr(["run", "--rm", "-q", name, "sh", "-c", CHECK]).output().ok(), expected);
    settle(sandbox);
    sandbox.runr(["rmi", "-f", "-a"]).output().ok();
    settle(sandbox);
    // The folder of a container whose maker was killed before it could take the lock is given five seconds.
    for _ in 0..12 {
        if sandbox.leftovers().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        sandbox.runr(["ps", "-a"]).output().ok();
        settle(sandbox);
    }
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    for folder in ["images/blobs", "layers", "containers", "names", "tmp"] {
        let mut left = files_below(&sandbox.store().join(folder));
        left.retain(|path| !path.ends_with("names/.lock"));
        assert_eq!(left, Vec::<PathBuf>::new(), "{folder}");
    }
}

#[test]
fn any_command_may_be_killed_at_any_moment() {
    need!(userns, shell, tool("docker-registry"));
    let sandbox = Sandbox::new();
    let registry = DockerRegistry::start();
    let name = registry.push(&image(), "app", "1");
    let expected = sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", CHECK]).output().ok();
    let mut dice = Dice(u64::from(std::process::id()));
    for round in 0..rounds(40) {
        let container = format!("c{round}");
        let what: &[&str] = match dice.roll(4) {
            0 => &["rmi", "-f", &name],
            1 => &["run", "--name", &container, &name, "cat", "/many/1"],
            2 => &["pull", "-q", &name],
            _ => &["run", "--rm", &name, "sh", "-c", CHECK],
        };
        if dice.roll(3) == 0 {
            sandbox.runr(["rmi", "-f", &name]).output().ok();
        }
        let (moment, victim) = (dice.moment(120_000), dice.victim());
        strike(&sandbox, what, moment, victim);
        // The next command neither waits for the dead nor shows half of an image.
        let after =
            sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", CHECK]).limit(Duration::from_secs(60)).output();
        assert_eq!(after.ok(), expected, "round {round}: {what:?} killed ({victim:?}) after {moment:?}");
        if dice.roll(4) == 0 {
            let moment = dice.moment(20_000);
            strike(&sandbox, &["rm", "-f", "-a"], moment, victim);
            sandbox.runr(["ps", "-a"]).output().ok();
        }
    }
    aftermath(&sandbox, &name, &expected);
}

/// Several users of one store at once, each of whom is killed again and again.
#[test]
fn commands_that_are_killed_beside_each_other_leave_a_whole_store() {
    need!(userns, shell, tool("docker-registry"));
    let sandbox = Sandbox::new();
    let registry = DockerRegistry::start();
    let name = registry.push(&image(), "app", "1");
    let other = registry.push(&ImageBuilder::new().layer(&base_layer()).build(), "app", "2");
    let expected = sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", CHECK]).output().ok();
    for batch in 0..rounds(40).div_ceil(8) {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (sandbox, name, other) = (&sandbox, &name, &other);
                let mut dice = Dice(u64::from(std::process::id() * 1000 + batch * 4 + thread));
                scope.spawn(move || {
                    for strikes in 0..2 {
                        let container = format!("c{batch}.{thread}.{strikes}");
                        let what: &[&str] = match dice.roll(7) {
                            0 => &["rmi", "-f", name],
                            1 => &["run", "--name", &container, other, "true"],
                            2 => &["rm", "-f", "-a"],
                            3 => &["run", "--rm", name, "cat", "/many/399"],
                            4 => &["run", "--rm", other, "true"],
                            _ => &["pull", "-q", name],
                        };
                        let moment = dice.moment(150_000);
                        strike(sandbox, what, moment, Victim::Command);
                    }
                });
            }
        });
        let after =
            sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", CHECK]).limit(Duration::from_secs(60)).output();
        assert_eq!(after.ok(), expected, "batch {batch}");
        for command in ["ps -a", "images"] {
            sandbox.line(command).output().ok();
        }
    }
    aftermath(&sandbox, &name, &expected);
}
