//! The real `docker-registry` on loopback, with its own storage folder and a free port.

use super::http;
use super::image::Image;
use super::need::find_tool;
use super::sandbox::unique_dir;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running registry; it ends when this is dropped.
pub struct DockerRegistry {
    child: Child,
    dir: PathBuf,
    address: String,
}

impl DockerRegistry {
    /// Starts it over plain http. Needs `need!(tool("docker-registry"))`.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts it with more of its configuration (YAML at the top level, such as an `auth:` section).
    pub fn start_with(more: &str) -> Self {
        let program = find_tool("docker-registry").expect("docker-registry");
        // Between the choice of the port and its use another process may take it: then once more.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let dir = unique_dir();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: \
                 true}}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}\n",
                dir.join("storage").display()
            );
            std::fs::write(dir.join("config.yml"), config).unwrap();
            let log = std::fs::File::create(dir.join("log")).unwrap();
            let child = Command::new(&program)
                .arg("serve")
                .arg(dir.join("config.yml"))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut registry = Self { child, dir, address: format!("127.0.0.1:{port}") };
            if registry.wait_ready() {
                return registry;
            }
        }
        panic!("docker-registry does not start");
    }

    fn wait_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if http::try_request(&self.address, "GET", "/v2/", &[], b"").is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("docker-registry: {}", std::fs::read_to_string(self.dir.join("log")).unwrap_or_default());
        false
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The full name of an image in it: `127.0.0.1:port/app:1`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Pushes an image as `repository:tag` and returns its full name.
    pub fn push(&self, image: &Image, repository: &str, tag: &str) -> String {
        image.push(&self.address, repository, tag);
        self.name(&format!("{repository}:{tag}"))
    }

    /// Where it keeps its files (to damage them).
    pub fn storage(&self) -> PathBuf {
        self.dir.join("storage")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
