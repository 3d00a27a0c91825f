//! Flags and configuration to the settings of a pull.

use super::args::image::SourceArgs;
use super::ask;
use super::config::Config;
use crate::base::progress::Progress;
use crate::base::units::parse_bytes;
use crate::base::{Error, Result};
use crate::image::Platform;
use crate::ops::layers::DEFAULT_PARALLEL;
use crate::ops::obtain::Obtain;
use crate::ops::pull::{Policy, PullOptions};
use crate::registry;
use crate::registry::config::Notes;
use crate::registry::credentials::{AuthFiles, Credentials};
use crate::unpack::Limits;
use crate::userns::IdMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything a pull needs to know.
pub(crate) fn obtain(
    config: &Config,
    args: &SourceArgs,
    policy: Policy,
    platform: Option<Platform>,
    map: &IdMap,
    watcher: &Arc<dyn Progress>,
) -> Result<Obtain> {
    let (max_parallel, limits) = limits(&config.env)?;
    let options = PullOptions { platform, map: map.clone(), max_parallel, limits };
    let mut registry = registry(config, args)?;
    // Whoever sees the pull also sees why it waits.
    registry.notes = Notes(Some(watcher.clone()));
    Ok(Obtain { policy, registry, options })
}

/// How many layers at once, and what one may cost: an image that is larger than anybody expects asks for more, a machine with
/// little room for less.
fn limits(env: &BTreeMap<String, String>) -> Result<(usize, Limits)> {
    let (mut parallel, mut limits) = (DEFAULT_PARALLEL, Limits::default());
    let given = |name: &'static str| env.get(name).filter(|value| !value.is_empty()).map(|value| (name, value));
    let number = |(name, value): (&str, &String)| {
        let number = value.parse().ok().filter(|n| *n > 0);
        number.ok_or_else(|| Error::usage(format!("{name}: `{value}` is no positive number")))
    };
    if let Some((name, value)) = given("RUNR_MAX_LAYER_SIZE") {
        limits.max_bytes = parse_bytes(value).map_err(|e| e.step(name))?;
    }
    if let Some(ratio) = given("RUNR_MAX_LAYER_RATIO").map(number).transpose()? {
        limits.max_ratio = ratio;
    }
    if let Some(layers) = given("RUNR_PARALLEL_LAYERS").map(number).transpose()? {
        parallel = usize::try_from(layers).unwrap_or(usize::MAX);
    }
    Ok((parallel, limits))
}

/// The registry client's settings: the environment, with the flags laid over it.
pub(crate) fn registry(config: &Config, args: &SourceArgs) -> Result<registry::Config> {
    let mut settings = config.registry();
    settings.tls_verify = args.tls_verify;
    settings.cert_dir = args.cert_dir.as_ref().map(|dir| config.working_dir.join(dir));
    if let Some(file) = &args.authfile {
        settings.auth_files = AuthFiles {
            helper_path: settings.auth_files.helper_path,
            ..AuthFiles::only(config.working_dir.join(file))
        };
    }
    if let Some(creds) = &args.creds {
        settings.credentials = Some(match creds.contains(':') || creds.is_empty() {
            true => Credentials::from_option(creds)?,
            false => Credentials::Basic { username: creds.clone(), password: ask::password(creds)? },
        });
    }
    if let Some(retries) = args.retry {
        settings.retries = retries;
    }
    if let Some(delay) = &args.retry_delay {
        settings.retry_delay = delay_of(delay)?;
        settings.retry_evenly = true;
    }
    Ok(settings)
}

/// A span such as `2s`, or a number of seconds.
fn delay_of(text: &str) -> Result<Duration> {
    let bad = || Error::usage(format!("--retry-delay: invalid span `{text}`: use one such as 2s"));
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    Duration::try_from(span).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_from_the_environment() {
        let of = |pairs: &[(&str, &str)]| limits(&pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        assert_eq!(of(&[]).unwrap(), (DEFAULT_PARALLEL, Limits::default()));
        let set = [("RUNR_MAX_LAYER_SIZE", "3g"), ("RUNR_MAX_LAYER_RATIO", "1000"), ("RUNR_PARALLEL_LAYERS", "2")];
        let (parallel, limits) = of(&set).unwrap();
        assert_eq!((parallel, limits.max_bytes, limits.max_ratio), (2, 3 << 30, 1000));
        for (name, value) in
            [("RUNR_MAX_LAYER_SIZE", "much"), ("RUNR_MAX_LAYER_RATIO", "-1"), ("RUNR_PARALLEL_LAYERS", "0")]
        {
            assert!(of(&[(name, value)]).unwrap_err().to_string().starts_with(name));
        }
    }
}
