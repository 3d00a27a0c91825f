//! `--help`: of runr, of a group of commands, of one command.

use super::super::args::{COMMANDS, CommandEntry, GROUPS};
use super::super::output::Output;
use crate::base::Result;

/// What stands above the list of commands.
const ABOUT: &str = "runr runs containers for you, as yourself: no root, no daemon, one file.";

const GLOBAL_FLAGS: &str = "\
Flags before the command:
      --root DIR          Folder for images and containers (RUNR_ROOT)
  -l, --log-level LEVEL   How much to say: debug, info, warn, error
      --config DIR        Folder of docker's config.json, for credentials (DOCKER_CONFIG)
  -v, --version           Print the version
  -h, --help              Print help";

/// Help of runr (`None`) or of one group.
pub(crate) fn overview(out: &mut Output, group: Option<&str>) -> Result<()> {
    let listed = COMMANDS.iter().filter(|c| c.listed);
    let rows: Vec<(&str, &str)> = match group {
        None => listed.map(|c| (c.name(), c.about)).collect(),
        Some(group) => listed
            .filter_map(|c| {
                let own = c.paths.iter().find_map(|p| p.strip_prefix(group)?.strip_prefix(' '))?;
                Some((own, c.about))
            })
            .collect(),
    };
    let about = group.and_then(|g| GROUPS.iter().find(|(name, _)| *name == g)).map_or(ABOUT, |(_, about)| about);
    let prefix = group.map(|g| format!("{g} ")).unwrap_or_default();
    let mut text = format!("{about}\n\nUsage: runr {prefix}COMMAND [FLAGS] [ARGUMENTS]\n\nCommands:\n");
    text.push_str(&list(&rows));
    if group.is_none() {
        text.push_str("\nGroups, with the same commands and more:\n");
        text.push_str(&list(GROUPS));
        text.push_str(&format!("\n{GLOBAL_FLAGS}\n"));
        text.push_str("\nTry it:\n  runr run --rm -it alpine sh\n");
    }
    text.push_str(&format!("\n`runr {prefix}COMMAND --help` tells more about a command.\n"));
    out.text(&text)
}

fn list(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, about)| format!("  {name:width$}  {about}\n")).collect()
}

/// Help of one command.
pub(crate) fn command(out: &mut Output, entry: &CommandEntry) -> Result<()> {
    out.text(&entry.command().render_help().to_string())
}
