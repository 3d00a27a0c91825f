//! The `--health-*` flags.

use super::super::args::health::{CreateHealthArgs, HealthArgs};
use super::super::config::{Config, clean};
use crate::base::moment::duration_nanos;
use crate::base::{Error, Result};
use crate::spec::health::{HealthOptions, LogDestination, OnFailure};

/// docker's shortest times.
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Those of `run` and `create`.
pub(crate) fn all(args: CreateHealthArgs, config: &Config) -> Result<HealthOptions> {
    let start_interval = time("start-interval", args.health_start_interval.as_deref(), MILLISECOND)?;
    Ok(HealthOptions { start_interval, ..options(args.health, config)? })
}

/// A time; 0 is the image's value or the default, as docker has it.
fn time(name: &str, text: Option<&str>, least: u64) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    let nanos = duration(text, least).map_err(|e| e.step(format!("--health-{name}")))?;
    Ok(Some(nanos).filter(|n| *n != 0))
}

/// A time between two checks, or podman's word for a check that never runs by itself.
fn interval(name: &str, text: Option<&str>) -> Result<Option<u64>> {
    if text == Some("disable") { Ok(Some(0)) } else { time(name, text, MILLISECOND) }
}

/// Checks and converts those that `update` takes as well.
pub(crate) fn options(args: HealthArgs, config: &Config) -> Result<HealthOptions> {
    let command = args.health_cmd.as_deref().filter(|text| !text.is_empty());
    if args.no_healthcheck && command.is_some() {
        return Err(Error::usage("--no-healthcheck and --health-cmd cannot be used together"));
    }
    let startup = args.health_startup_cmd.as_deref().filter(|text| !text.is_empty());
    if startup.is_none() {
        let lonely = [
            ("interval", args.health_startup_interval.is_some()),
            ("timeout", args.health_startup_timeout.is_some()),
            ("retries", args.health_startup_retries.is_some()),
            ("success", args.health_startup_success.is_some()),
        ];
        if let Some((name, _)) = lonely.into_iter().find(|(_, given)| *given) {
            return Err(Error::usage(format!("--health-startup-{name} needs --health-startup-cmd")));
        }
    }
    if args.health_retries == Some(0) {
        return Err(Error::usage("--health-retries: must be greater than 0"));
    }
    Ok(HealthOptions {
        disabled: args.no_healthcheck,
        test: command.map(|text| test("cmd", text)).transpose()?,
        interval: interval("interval", args.health_interval.as_deref())?,
        timeout: time("timeout", args.health_timeout.as_deref(), MILLISECOND)?,
        retries: args.health_retries,
        start_period: time("start-period", args.health_start_period.as_deref(), 0)?,
        start_interval: None,
        on_failure: args.health_on_failure.as_deref().map(on_failure).transpose()?,
        startup_test: startup.map(|text| test("startup-cmd", text)).transpose()?,
        startup_interval: interval("startup-interval", args.health_startup_interval.as_deref())?,
        startup_timeout: time("startup-timeout", args.health_startup_timeout.as_deref(), SECOND)?,
        startup_retries: args.health_startup_retries,
        startup_success: args.health_startup_success,
        log_destination: args.health_log_destination.as_deref().map(|w| destination(w, config)).transpose()?,
        max_log_count: args.health_max_log_count,
        max_log_size: args.health_max_log_size,
    })
}

/// A time in nanoseconds: 0, or at least `least`.
fn duration(text: &str, least: u64) -> Result<u64> {
    let nanos = duration_nanos(text).ok_or_else(|| Error::usage(format!("invalid duration `{text}`")));
    let nanos = u64::try_from(nanos?).map_err(|_| Error::usage(format!("the duration `{text}` cannot be negative")))?;
    if nanos != 0 && nanos < least {
        let least = if least == SECOND { "1s" } else { "1ms" };
        return Err(Error::usage(format!("the duration `{text}` is shorter than {least}")));
    }
    Ok(nanos)
}

/// A command line for the shell, or a JSON list: with `CMD` or `CMD-SHELL` in front, or the words of a program.
fn test(flag: &str, text: &str) -> Result<Vec<String>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(vec!["NONE".to_owned()]);
    }
    let shell = |command: String| vec!["CMD-SHELL".to_owned(), command];
    let Ok(list) = serde_json::from_str::<Vec<String>>(text) else {
        // As Dockerfiles have it, in one word.
        let bare = ["CMD-SHELL ", "CMD "].iter().find_map(|kind| text.strip_prefix(kind));
        return Ok(shell(bare.unwrap_or(text).trim_start().to_owned()));
    };
    match list.as_slice() {
        [] => Err(Error::usage(format!("--health-{flag}: the list is empty"))),
        [one] if one.eq_ignore_ascii_case("none") => Ok(vec!["NONE".to_owned()]),
        [kind, _, ..] if kind == "CMD" || kind == "CMD-SHELL" => Ok(list),
        [one] => Ok(shell(one.clone())),
        _ => Ok(std::iter::once("CMD".to_owned()).chain(list).collect()),
    }
}

fn on_failure(text: &str) -> Result<OnFailure> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(OnFailure::None),
        "kill" => Ok(OnFailure::Kill),
        "restart" => Ok(OnFailure::Restart),
        "stop" => Ok(OnFailure::Stop),
        _ => {
            Err(Error::usage(format!("--health-on-failure: unknown action `{text}`: use none, kill, restart or stop")))
        }
    }
}

fn destination(text: &str, config: &Config) -> Result<LogDestination> {
    match text {
        "local" => Ok(LogDestination::Local),
        "events_logger" => Ok(LogDestination::Events),
        folder => {
            let path = clean(&config.working_dir.join(folder));
            if path.is_dir() {
                return Ok(LogDestination::Folder(path));
            }
            Err(Error::usage(format!("--health-log-destination: `{folder}` is not a folder")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_many_spellings() {
        for (text, want) in [
            ("curl -f http://x || exit 1", &["CMD-SHELL", "curl -f http://x || exit 1"][..]),
            ("CMD-SHELL a b", &["CMD-SHELL", "a b"]),
            ("CMD a b", &["CMD-SHELL", "a b"]),
            (r#"["a", "b c"]"#, &["CMD", "a", "b c"]),
            (r#"["CMD", "a", "b"]"#, &["CMD", "a", "b"]),
            (r#"["CMD-SHELL", "a b"]"#, &["CMD-SHELL", "a b"]),
            (r#"["a b"]"#, &["CMD-SHELL", "a b"]),
            ("none", &["NONE"]),
            (r#"["NONE"]"#, &["NONE"]),
        ] {
            assert_eq!(test("cmd", text).unwrap(), want, "{text}");
        }
        assert!(test("cmd", "[]").is_err());
    }

    #[test]
    fn times() {
        assert_eq!(duration("1m30s", MILLISECOND).unwrap(), 90 * SECOND);
        assert_eq!(duration("0", MILLISECOND).unwrap(), 0);
        for (text, least, message) in [
            ("5x", 0, "invalid duration `5x`"),
            ("-1s", 0, "the duration `-1s` cannot be negative"),
            ("10us", MILLISECOND, "the duration `10us` is shorter than 1ms"),
            ("500ms", SECOND, "the duration `500ms` is shorter than 1s"),
        ] {
            assert_eq!(duration(text, least).unwrap_err().to_string(), message);
        }
    }
}
