//! Every command and flag of docker and podman by name, so that a name which is not built yet gets an answer of its own,
//! distinct from a typing error. Read only when something was not recognised.

/// One line per command; the first line says how it is written.
const KNOWN: &str = include_str!("known.tsv");

/// A command that docker or podman has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownCommand {
    /// `run`, `container run`.
    pub(crate) path: &'static str,
    flags: &'static str,
}

/// A flag that docker or podman has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownFlag {
    /// With its dashes.
    pub(crate) long: &'static str,
    /// With its dash.
    pub(crate) short: Option<&'static str>,
    /// True when a value follows.
    pub(crate) takes_value: bool,
}

impl KnownCommand {
    /// Its flags.
    pub(crate) fn flags(self) -> impl Iterator<Item = KnownFlag> {
        self.flags.split(' ').filter(|f| !f.is_empty()).map(|text| {
            let (names, takes_value) = match text.strip_suffix('=') {
                Some(names) => (names, true),
                None => (text, false),
            };
            match names.split_once(',') {
                Some((short, long)) => KnownFlag { long, short: Some(short), takes_value },
                None => KnownFlag { long: names, short: None, takes_value },
            }
        })
    }

    /// True when it has this flag, in its long or short form.
    pub(crate) fn has_flag(self, flag: &str) -> bool {
        self.flags().any(|f| f.long == flag || f.short == Some(flag))
    }
}

/// All commands.
pub(crate) fn commands() -> impl Iterator<Item = KnownCommand> {
    KNOWN.lines().skip(1).filter_map(|line| {
        let (path, flags) = line.split_once('\t')?;
        Some(KnownCommand { path, flags })
    })
}

/// The command with this path.
pub(crate) fn command(path: &str) -> Option<KnownCommand> {
    commands().find(|c| c.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_as_written() {
        let run = command("run").unwrap();
        assert!(run.has_flag("--rm") && run.has_flag("-e") && run.has_flag("--memory") && !run.has_flag("--nonsense"));
        let env = run.flags().find(|f| f.long == "--env").unwrap();
        assert_eq!(env, KnownFlag { long: "--env", short: Some("-e"), takes_value: true });
        assert!(command("container run").is_some() && command("nonsense").is_none());
        assert!(commands().count() > 150);
    }
}
