//! Flags and configuration to the settings of a pull.

use super::args::image::SourceArgs;
use super::config::Config;
use crate::base::Result;
use crate::base::progress::Progress;
use crate::image::Platform;
use crate::ops::layers::DEFAULT_PARALLEL;
use crate::ops::obtain::Obtain;
use crate::ops::pull::{Policy, PullOptions};
use crate::registry;
use crate::registry::config::Notes;
use crate::registry::credentials::{AuthFiles, Credentials};
use crate::unpack::Limits;
use crate::userns::IdMap;
use std::sync::Arc;

/// Everything a pull needs to know.
pub(crate) fn obtain(
    config: &Config,
    args: &SourceArgs,
    policy: Policy,
    platform: Option<Platform>,
    map: &IdMap,
    watcher: &Arc<dyn Progress>,
) -> Result<Obtain> {
    let options = PullOptions { platform, map: map.clone(), max_parallel: DEFAULT_PARALLEL, limits: Limits::default() };
    let mut registry = registry(config, args)?;
    // Whoever sees the pull also sees why it waits.
    registry.notes = Notes(Some(watcher.clone()));
    Ok(Obtain { policy, registry, options })
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
        settings.credentials = Some(Credentials::from_option(creds)?);
    }
    Ok(settings)
}
