//! A home for one test: its own data folder, runtime folder and `tmp`, gone at the end.

use super::command::Run;
use super::leaks;
use std::ffi::OsStr;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The executable under test: `RUNR_TEST_BINARY` (an installed one), else the one cargo built beside this test.
pub fn binary() -> PathBuf {
    std::env::var_os("RUNR_TEST_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_runr")), PathBuf::from)
}

/// A new folder below `$TMPDIR`, private to this user. Its path is short: sockets have names of at most 107 bytes.
pub fn unique_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("rt{}.{n}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir).unwrap_or_else(|e| panic!("create `{}`: {e}", dir.display()));
    dir
}

/// One test's folders. Dropping it removes them after a check for leaks.
pub struct Sandbox {
    dir: PathBuf,
    check: AtomicBool,
}

impl Sandbox {
    /// An empty sandbox.
    pub fn new() -> Self {
        let dir = unique_dir();
        for name in ["home", "data", "run", "tmp", "config", "bin"] {
            std::fs::DirBuilder::new().mode(0o700).create(dir.join(name)).unwrap();
        }
        // Every process of this sandbox has its path in argv[0]: that is how `leaks` knows it.
        symlink(binary(), dir.join("bin/runr")).unwrap();
        Self { dir, check: AtomicBool::new(true) }
    }

    /// The sandbox's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the sandbox's scratch folder, which is not `TMPDIR` and not the home.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// `$XDG_CONFIG_HOME`.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// `$TMPDIR`.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// runr's data folder.
    pub fn store(&self) -> PathBuf {
        self.dir.join("data/runr")
    }

    /// Writes a file in the sandbox, making its folders, and returns its path.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A `runr` command line to run in this sandbox.
    pub fn runr<I, S>(&self, args: I) -> Run
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command(self.dir.join("bin/runr")).args(args)
    }

    /// `runr` with its arguments separated by blanks: `sandbox.line("run --rm busybox true")`.
    pub fn line(&self, args: &str) -> Run {
        self.runr(args.split_whitespace())
    }

    /// A shell script in this sandbox: `runr` is in its PATH.
    pub fn sh(&self, script: &str) -> Run {
        self.command("sh").args(["-c", script])
    }

    /// Another program in this sandbox, with the same cleared environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Run {
        let path = std::env::var("PATH").unwrap_or_default();
        let user = runr::userns::subid::user_name(nix::unistd::geteuid().as_raw());
        Run::new(program.as_ref())
            .env_clear()
            .env("PATH", format!("{}/bin:{path}:/usr/sbin:/sbin", self.dir.display()))
            .env("HOME", self.home())
            .env("XDG_DATA_HOME", self.dir.join("data"))
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("XDG_CONFIG_HOME", self.config())
            .env("TMPDIR", self.tmp())
            .env("USER", &user)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
    }

    /// Loads the base image (a shell and its tools) under the name `busybox` and returns that name.
    pub fn base_image(&self) -> &'static str {
        let archive = self.path("base.tar");
        super::base_image().write_docker_archive(&archive, &["busybox:latest"]);
        self.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
        std::fs::remove_file(archive).unwrap();
        "busybox"
    }

    /// What still stands in the store's `tmp/`.
    pub fn leftovers(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.store().join("tmp")).into_iter().flatten().flatten();
        names.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Leaves out the check for leaks at the end, for a test that breaks things on purpose.
    pub fn allow_leaks(&self) {
        self.check.store(false, Ordering::Relaxed);
    }

    /// Removes what is below `path`, files of subordinate ids included.
    pub fn remove_tree(&self, path: &Path) {
        if std::fs::remove_dir_all(path).is_err() && path.exists() {
            // A folder of subordinate ids, or one whose mode forbids its owner to enter.
            let out = Run::new(binary().as_os_str()).args(["__rmtree".as_ref(), path.as_os_str()]).output();
            if path.exists() {
                eprintln!("remove `{}`: {}", path.display(), out.stderr);
            }
        }
    }

    fn has_containers(&self) -> bool {
        std::fs::read_dir(self.store().join("containers")).is_ok_and(|mut d| d.next().is_some())
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let check = self.check.load(Ordering::Relaxed) && !std::thread::panicking();
        if self.has_containers() || !self.leftovers().is_empty() {
            // Ends what the test left running on purpose; it also sweeps what killed commands left in `tmp/`.
            drop(self.runr(["rm", "--force", "--all"]).try_output());
        }
        let leaked = leaks::wait_gone(&self.dir, check);
        // A folder being deleted by a monitor after it reported the exit is gone when the monitor is.
        let leftovers = if check { self.leftovers() } else { Vec::new() };
        if std::env::var_os("RUNR_TEST_KEEP").is_some() {
            eprintln!("kept `{}`", self.dir.display());
        } else {
            self.remove_tree(&self.dir);
        }
        if check {
            assert!(leaked.is_empty(), "the test left processes behind: {leaked:#?}");
            assert!(leftovers.is_empty(), "the test left files in the store's tmp/: {leftovers:?}");
            assert!(
                std::env::var_os("RUNR_TEST_KEEP").is_some() || !self.dir.exists(),
                "`{}` could not be removed",
                self.dir.display()
            );
        }
    }
}
