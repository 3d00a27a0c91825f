//! The command line: which commands exist ([`COMMANDS`]), their flags (one file per group, as clap types), and how an
//! argument list becomes one command with its parsed flags.
//!
//! A container starts in a few milliseconds, so no more is built than is used: the words before the command are read by
//! hand, and clap learns the flags of that one command only. `--help`, completions and man pages build all of them.

pub(crate) mod container;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod housekeeping;
pub(crate) mod image;
pub(crate) mod known;
pub(crate) mod life;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod locate;
pub(crate) mod logs;
pub(crate) mod parse;
pub(crate) mod ps;
pub(crate) mod refused;
pub(crate) mod system;
pub(crate) mod update;
pub(crate) mod view;
pub(crate) mod volume;

use super::commands;
use super::{Context, Exit};
use crate::base::Result;
use clap::{ArgMatches, Args, Command};

/// One command: its names, its flags and the function that does it.
pub(crate) struct CommandEntry {
    /// Every spelling, the canonical one first: `ps`, `container ls`, `container list`.
    pub(crate) paths: &'static [&'static str],
    /// One line for lists of commands.
    pub(crate) about: &'static str,
    /// Adds its flags to an empty clap command.
    pub(crate) arguments: fn(Command) -> Command,
    /// Does it.
    pub(crate) run: fn(&mut Context, &ArgMatches) -> Result<Exit>,
    /// False for what only scripts call.
    pub(crate) listed: bool,
}

impl CommandEntry {
    /// The canonical name.
    pub(crate) fn name(&self) -> &'static str {
        self.paths[0]
    }

    /// Its clap command, as help, man pages and completions show it.
    pub(crate) fn command(&self) -> Command {
        let command = Command::new(self.name())
            .bin_name(format!("runr {}", self.name()))
            .disable_help_flag(true)
            .disable_version_flag(true)
            .disable_help_subcommand(true)
            .args_override_self(true);
        // clap takes the doc comment of the type for the command's description: that one is for readers of the source.
        let command = (self.arguments)(command).about(self.about).long_about(None::<&str>);
        let help = clap::Arg::new("help").long("help").help("Print help").action(clap::ArgAction::HelpShort);
        // `-h` is the host name of `run` and `create`.
        let taken = command.get_arguments().any(|a| a.get_short() == Some('h'));
        command.arg(if taken { help } else { help.short('h') })
    }
}

/// An entry whose flags are the clap type `A`.
const fn entry<A: Args>(
    paths: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Context, &ArgMatches) -> Result<Exit>,
) -> CommandEntry {
    CommandEntry { paths, about, arguments: A::augment_args, run, listed: true }
}

/// An entry that only scripts call.
const fn unlisted<A: Args>(
    paths: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Context, &ArgMatches) -> Result<Exit>,
) -> CommandEntry {
    CommandEntry { paths, about, arguments: A::augment_args, run, listed: false }
}

/// What the words before a space are, for their `--help`.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("healthcheck", "Manage health checks"),
    ("image", "Manage images"),
    ("system", "Manage runr"),
    ("volume", "Manage volumes"),
];

/// All commands, in the order in which help lists them.
pub(crate) const COMMANDS: &[CommandEntry] = &[
    entry::<container::RunArgs>(&["run", "container run"], "Run a command in a new container", commands::run::run),
    entry::<life::CreateCommandArgs>(
        &["create", "container create"],
        "Make a container without starting it",
        commands::create::run,
    ),
    entry::<life::InitArgs>(
        &["container init", "init"],
        "Set up containers so that only their command remains to be started",
        commands::start::initialize,
    ),
    entry::<life::StartArgs>(&["start", "container start"], "Start containers that do not run", commands::start::run),
    entry::<update::UpdateArgs>(
        &["update", "container update"],
        "Change settings of containers",
        commands::update::run,
    ),
    entry::<life::CloneArgs>(&["container clone"], "Make a container like another one", commands::clone::run),
    entry::<life::RenameArgs>(&["rename", "container rename"], "Give a container another name", commands::rename::run),
    entry::<exec::ExecArgs>(&["exec", "container exec"], "Run a command in a running container", commands::exec::run),
    entry::<health::HealthcheckRunArgs>(
        &["healthcheck run"],
        "Run a container's health check now",
        commands::healthcheck::run,
    ),
    entry::<ps::PsArgs>(
        &["ps", "container ls", "container list", "container ps"],
        "List containers",
        commands::ps::run,
    ),
    entry::<view::TopArgs>(&["top", "container top"], "Show the processes of a container", commands::top::run),
    entry::<view::StatsArgs>(&["stats", "container stats"], "Show what containers use", commands::stats::run),
    entry::<view::PortArgs>(&["port", "container port"], "Show published ports of containers", commands::port::run),
    entry::<view::ContainerExistsArgs>(
        &["container exists"],
        "Check if a container exists",
        commands::exists::container,
    ),
    entry::<view::ImageExistsArgs>(&["image exists"], "Check if an image exists", commands::exists::image),
    entry::<container::RmArgs>(&["rm", "container rm", "container remove"], "Remove containers", commands::rm::run),
    entry::<lifecycle::StopArgs>(&["stop", "container stop"], "Stop containers", commands::stop::stop),
    entry::<lifecycle::RestartArgs>(
        &["restart", "container restart"],
        "Stop and start containers",
        commands::stop::restart,
    ),
    entry::<lifecycle::KillArgs>(&["kill", "container kill"], "Send a signal to containers", commands::stop::kill),
    entry::<lifecycle::PauseArgs>(&["pause", "container pause"], "Freeze containers", commands::stop::pause),
    entry::<lifecycle::PauseArgs>(
        &["unpause", "container unpause"],
        "Let frozen containers go on",
        commands::stop::unpause,
    ),
    entry::<lifecycle::WaitArgs>(
        &["wait", "container wait"],
        "Wait until containers end; print their exit status",
        commands::wait::run,
    ),
    entry::<lifecycle::AttachArgs>(
        &["attach", "container attach"],
        "Connect to a running container",
        commands::attach::run,
    ),
    entry::<logs::LogsArgs>(&["logs", "container logs"], "Show what containers wrote", commands::logs::run),
    entry::<image::PullArgs>(&["pull", "image pull"], "Download images", commands::pull::run),
    entry::<image::ImagesArgs>(&["images", "image ls", "image list"], "List images", commands::images::run),
    entry::<image::RmiArgs>(&["rmi", "image rm", "image remove"], "Remove images", commands::rmi::run),
    entry::<files::ImportArgs>(
        &["import", "image import"],
        "Make an image of an archive of files",
        commands::import::run,
    ),
    entry::<files::CommitArgs>(&["commit", "container commit"], "Make an image of a container", commands::commit::run),
    entry::<files::DiffArgs>(&["diff"], "Show what changed in a container's files", commands::diff::run),
    entry::<files::DiffArgs>(
        &["container diff"],
        "Show what changed in a container's files",
        commands::diff::container,
    ),
    entry::<files::ImageDiffArgs>(&["image diff"], "Show what an image's last layer changed", commands::diff::image),
    entry::<files::ExportArgs>(
        &["export", "container export"],
        "Write a container's files as a tar archive",
        commands::export::run,
    ),
    entry::<files::MountArgs>(
        &["mount", "container mount"],
        "Make a container's files a folder of this machine",
        commands::mount::mount,
    ),
    entry::<files::UnmountArgs>(
        &["unmount", "umount", "container unmount", "container umount"],
        "Take such a folder away",
        commands::mount::unmount,
    ),
    entry::<files::UnshareArgs>(
        &["unshare"],
        "Run a command as root of the user namespace of containers",
        commands::mount::unshare,
    ),
    entry::<files::CpArgs>(
        &["cp", "container cp"],
        "Copy files between containers and this machine",
        commands::cp::run,
    ),
    entry::<system::InspectArgs>(&["inspect"], "Show everything about containers or images", commands::inspect::run),
    entry::<system::ContainerInspectArgs>(
        &["container inspect"],
        "Show everything about containers",
        commands::inspect::container,
    ),
    entry::<system::ImageInspectArgs>(&["image inspect"], "Show everything about images", commands::inspect::image),
    entry::<volume::VolumeCreateArgs>(&["volume create"], "Make a volume", commands::volume::create),
    entry::<volume::VolumeLsArgs>(&["volume ls", "volume list"], "List volumes", commands::volume::ls),
    entry::<volume::VolumeInspectArgs>(&["volume inspect"], "Show everything about volumes", commands::volume::inspect),
    entry::<volume::VolumeRmArgs>(&["volume rm", "volume remove"], "Remove volumes", commands::volume::rm),
    entry::<volume::VolumePruneArgs>(
        &["volume prune"],
        "Remove volumes that no container uses",
        commands::volume::prune,
    ),
    entry::<volume::VolumeExistsArgs>(&["volume exists"], "Check if a volume exists", commands::volume::exists),
    entry::<events::EventsArgs>(&["events", "system events"], "Show what happens", commands::events::run),
    entry::<housekeeping::ContainerPruneArgs>(
        &["container prune"],
        "Remove all containers that do not run",
        commands::prune::containers,
    ),
    entry::<housekeeping::CleanupArgs>(
        &["container cleanup"],
        "Tidy up after containers whose monitor was killed",
        commands::cleanup::run,
    ),
    entry::<housekeeping::ImagePruneArgs>(&["image prune"], "Remove images that nobody uses", commands::prune::images),
    entry::<housekeeping::SystemPruneArgs>(&["system prune"], "Remove what nobody uses", commands::prune::system),
    entry::<housekeeping::ResetArgs>(&["system reset"], "Remove everything", commands::reset::run),
    entry::<housekeeping::CheckArgs>(&["system check"], "Find and repair damage", commands::check::run),
    entry::<housekeeping::DfArgs>(&["system df"], "Show what takes how much room", commands::df::run),
    entry::<system::InfoArgs>(&["info", "system info"], "Show facts about runr and this machine", commands::info::run),
    entry::<system::DoctorArgs>(&["doctor"], "Check what this machine lets containers do", commands::doctor::run),
    entry::<system::VersionArgs>(&["version"], "Show the version", commands::version::run),
    entry::<system::CompletionArgs>(&["completion"], "Print a shell's completion script", commands::completion::script),
    unlisted::<system::CompleteArgs>(&["__complete"], "Complete a command line", commands::completion::complete),
    unlisted::<system::GenerateArgs>(
        &["__generate"],
        "Write completions and man pages",
        commands::completion::generate,
    ),
];

/// The entry with this path.
pub(crate) fn find(path: &str) -> Option<&'static CommandEntry> {
    COMMANDS.iter().find(|c| c.paths.contains(&path))
}

#[cfg(test)]
mod tests {
    use super::locate::{Located, locate};
    use super::parse::{Parsed, parse};
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn clap_finds_no_fault_with_any_command() {
        for entry in COMMANDS {
            entry.command().debug_assert();
        }
    }

    /// Every command and flag of docker and podman either exists here or is refused by name, never as a typing error.
    #[test]
    fn every_known_name_is_answered() {
        for known in known::commands() {
            let words: Vec<OsString> = known.path.split(' ').map(OsString::from).collect();
            let (entry, path) = match locate(words) {
                Ok((_, Located::Command { entry, path, .. })) => (entry, path),
                Ok((_, Located::Help(Some(group)))) => {
                    assert_eq!(group, known.path);
                    continue;
                }
                Ok(_) => panic!("`{}` is taken for something else", known.path),
                Err(e) => {
                    assert_eq!(e.to_string(), refused::command(known.path).to_string());
                    continue;
                }
            };
            let command = entry.command();
            for flag in known.flags() {
                let long = flag.long.strip_prefix("--").unwrap_or_default();
                let named = |a: &clap::Arg| {
                    a.get_long() == Some(long) || a.get_all_aliases().is_some_and(|o| o.contains(&long))
                };
                let ours = command.get_arguments().find(|a| named(a));
                let Some(ours) = ours else {
                    // docker and podman give some letters to different flags.
                    let ours = |short: &&str| command.get_arguments().any(|a| a.get_short() == short.chars().nth(1));
                    for name in [Some(flag.long), flag.short.filter(|s| !ours(s))].into_iter().flatten() {
                        let refused = parse(entry, &path, vec![name.into()]).err().unwrap().to_string();
                        assert_eq!(refused, refused::refusal(&path, name).to_string());
                    }
                    continue;
                };
                let short = ours.get_short().map(|c| format!("-{c}"));
                // `-n` of logs is docker's --tail and podman's --names: docker's word counts.
                let taken = |c: char| command.get_arguments().any(|a| a.get_short() == Some(c));
                if flag.short.is_some()
                    && !(short.is_none() && flag.short.and_then(|s| s.chars().nth(1)).is_some_and(taken))
                {
                    assert_eq!(short.as_deref(), flag.short, "{path} {}", flag.long);
                }
                let takes_value = matches!(ours.get_action(), clap::ArgAction::Set | clap::ArgAction::Append);
                let optional = ours.is_require_equals_set();
                assert_eq!(takes_value && !optional, flag.takes_value, "{path} {}", flag.long);
            }
        }
    }

    #[test]
    fn no_flag_is_our_own_invention_by_accident() {
        for entry in COMMANDS.iter().filter(|c| c.listed) {
            let Some(known) = known::command(entry.name()) else { continue };
            for argument in entry.command().get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set()) {
                let long = format!("--{}", argument.get_long().unwrap_or_default());
                assert!(
                    long == "--help" || known.has_flag(&long),
                    "{} {long} is in neither docker nor podman",
                    entry.name()
                );
            }
        }
    }

    #[test]
    fn refusals_are_in_our_words() {
        let run = find("run").unwrap();
        for (words, message, hint) in [
            (&["--shiny", "a"][..], "run: unknown flag `--shiny`", "see `runr run --help`"),
            (&["--nmae", "a"], "run: unknown flag `--nmae`", "did you mean `--name`?"),
            (
                &["-it", "--storage-opt", "size=5g", "a"],
                "run --storage-opt: not supported yet: to limit a container's size takes quotas of the file system",
                "",
            ),
            (&["--name"], "run: flag `--name` needs a value", ""),
            (&[], "run: missing argument: <IMAGE> [COMMAND]...", ""),
            (&["--rm=maybe", "a"], "run: invalid value `maybe` for `--rm`: use true or false", ""),
            (&["--timeout", "x", "a"], "run: invalid value `x` for `--timeout`: invalid digit found in string", ""),
        ] {
            let e = parse(run, "run", words.iter().map(OsString::from).collect()).err().unwrap();
            assert_eq!(e.to_string(), message);
            if !hint.is_empty() {
                assert_eq!(e.hints(), [hint], "{words:?}");
            }
        }
        assert!(matches!(parse(run, "run", vec!["--help".into()]), Ok(Parsed::Help)));
    }
}
