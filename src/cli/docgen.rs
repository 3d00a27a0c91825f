//! Man pages and completion scripts as files, from the clap types: `completions/` and `man/` of the project hold what this
//! writes, and a test compares.

use super::args::{COMMANDS, CommandEntry};
use super::complete::SCRIPTS;
use crate::base::{Doing, Result, fsx};
use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use std::path::Path;

/// Writes `completions/` and `man/` below `dir`.
pub(super) fn write(dir: &Path) -> Result<()> {
    let (completions, man) = (dir.join("completions"), dir.join("man"));
    fsx::ensure_dir_all(&completions, 0o755)?;
    fsx::ensure_dir_all(&man, 0o755)?;
    for (_, file, text) in SCRIPTS {
        put(&completions.join(file), text.as_bytes())?;
    }
    put(&man.join("runr.1"), &page(overview())?)?;
    for entry in COMMANDS.iter().filter(|c| c.listed) {
        let command = documented(entry);
        let file = format!("{}.1", command.get_display_name().unwrap_or(entry.name()));
        put(&man.join(file), &page(command)?)?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).doing(|| format!("write `{}`", path.display()))
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The version stands on the page; a date would make the file differ without a change.
    let source = concat!("runr ", env!("CARGO_PKG_VERSION"));
    let command = command.clone().override_usage(synopsis(command.clone()));
    Man::new(command).source(source).date("").manual("runr").render(&mut bytes).doing(|| "make man page")?;
    Ok(bytes)
}

/// Up to so many flags are spelled out in the synopsis.
const FEW: usize = 12;

/// What help calls the usage; a few flags stand there with their values, many would hide what they stand around.
fn synopsis(mut command: Command) -> String {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let flags: Vec<String> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).map(in_synopsis).collect();
    if flags.len() > FEW { usage } else { usage.replace("[OPTIONS]", &flags.join(" ")) }
}

fn in_synopsis(flag: &Arg) -> String {
    let names = [flag.get_short().map(|c| format!("-{c}")), flag.get_long().map(|long| format!("--{long}"))];
    let names = names.into_iter().flatten().collect::<Vec<_>>().join("|");
    if !matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) {
        return format!("[{names}]");
    }
    let value = flag.get_value_names().unwrap_or_default().join(" ");
    let often = if matches!(flag.get_action(), ArgAction::Append) { "..." } else { "" };
    if flag.is_require_equals_set() {
        format!("[{names}[={value}]]{often}")
    } else {
        format!("[{names} {value}]{often}")
    }
}

/// `run` as `runr-run`, with its other spellings.
fn documented(entry: &CommandEntry) -> Command {
    let command = entry.command().display_name(format!("runr-{}", entry.name().replace(' ', "-")));
    let others: Vec<String> = entry.paths[1..].iter().map(|path| format!("runr {path}")).collect();
    if others.is_empty() {
        return command;
    }
    let examples = command.get_after_help().map(ToString::to_string);
    let spellings = format!("Also called as {}.", others.join(", "));
    command.after_help(examples.map_or_else(|| spellings.clone(), |e| format!("{e}\n\n{spellings}")))
}

/// runr itself: flags before the command, and the list of commands.
fn overview() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    let mut command = Command::new("runr")
        .about("Runs containers as a normal user: no root, no daemon, one file")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .arg(flag("root", "Folder for images and containers").value_name("DIR"))
        .arg(flag("log-level", "How much to say: debug, info, warn, error").short('l').value_name("LEVEL"))
        .arg(flag("config", "Folder of docker's config.json, for credentials").value_name("DIR"))
        .arg(flag("version", "Print the version").short('v').action(ArgAction::SetTrue))
        .arg(flag("help", "Print help").short('h').action(ArgAction::SetTrue))
        .after_help(ENVIRONMENT);
    for entry in COMMANDS.iter().filter(|c| c.listed) {
        command = command.subcommand(Command::new(entry.name().replace(' ', "-")).about(entry.about));
    }
    command
}

const ENVIRONMENT: &str = "\
RUNR_ROOT is the folder for images and containers, XDG_DATA_HOME/runr without it. DOCKER_CONFIG and REGISTRY_AUTH_FILE say \
where credentials are, http_proxy, https_proxy and no_proxy how registries are reached, SSL_CERT_FILE which roots are \
trusted. RUNR_PARALLEL_LAYERS layers are transferred at once (6); a layer is refused above RUNR_MAX_LAYER_SIZE (512g) or when \
it grows to more than RUNR_MAX_LAYER_RATIO times its compressed size (250, looked at from 4g on). NO_COLOR turns colour off.

Exit status: run ends with the status of the container's command, 128 + n for signal n, 126 when the command cannot be \
executed, 127 when it does not exist. rm and rmi end with 1 for a missing object and 2 for one in use. Every other failure \
of runr is 125.";
