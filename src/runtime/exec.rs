//! A further command in a running container.

use serde::{Deserialize, Serialize};

/// What `exec` runs, with the container's own settings already mixed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// 64 hex digits.
    pub id: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// The whole environment but HOME: `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: String,
    /// `user[:group]` as names or numbers, resolved in the container.
    pub user: String,
    /// It gets a pseudo-terminal.
    pub tty: bool,
    /// The first descriptor is its stdin.
    pub stdin: bool,
    /// The next descriptor gets its output.
    pub stdout: bool,
    /// The next descriptor gets its errors.
    pub stderr: bool,
    /// All capabilities.
    pub privileged: bool,
    /// It goes on when its client is gone.
    pub detach: bool,
}
