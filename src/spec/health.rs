//! The health check: what was asked for with `--health-*`, what the image says, and what comes of both.
//!
//! The numbers are docker's ("HEALTHCHECK" of its Dockerfile reference), the start-up check and the actions podman's
//! (podman-run(1)).

use crate::image::config::Healthcheck;
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000_000;

/// `--health-*`: what differs from the image's health check. Times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// `--no-healthcheck`.
    pub disabled: bool,
    /// `--health-cmd`: `["CMD", …]`, `["CMD-SHELL", "…"]` or `["NONE"]`.
    pub test: Option<Vec<String>>,
    /// `--health-interval`: 0 is never by itself.
    pub interval: Option<u64>,
    /// `--health-timeout`.
    pub timeout: Option<u64>,
    /// `--health-retries`.
    pub retries: Option<u32>,
    /// `--health-start-period`.
    pub start_period: Option<u64>,
    /// `--health-start-interval`.
    pub start_interval: Option<u64>,
    /// `--health-on-failure`.
    pub on_failure: Option<OnFailure>,
    /// `--health-startup-cmd`.
    pub startup_test: Option<Vec<String>>,
    /// `--health-startup-interval`: 0 is never by itself.
    pub startup_interval: Option<u64>,
    /// `--health-startup-timeout`.
    pub startup_timeout: Option<u64>,
    /// `--health-startup-retries`.
    pub startup_retries: Option<u32>,
    /// `--health-startup-success`.
    pub startup_success: Option<u32>,
    /// `--health-log-destination`.
    pub log_destination: Option<LogDestination>,
    /// `--health-max-log-count`.
    pub max_log_count: Option<u32>,
    /// `--health-max-log-size`.
    pub max_log_size: Option<u32>,
}

/// `--health-on-failure`: what happens to a container that becomes unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing.
    #[default]
    None,
    /// It is killed.
    Kill,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
}

/// `--health-log-destination`: where the log of checks is written beside the container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogDestination {
    /// Nowhere else.
    Local,
    /// Into the events.
    Events,
    /// `<id>-healthcheck.log` in this folder, absolute.
    Folder(std::path::PathBuf),
}

/// One kind of check, with every number filled in. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is executed in the container.
    pub args: Vec<String>,
    /// Between two checks; 0 is never by itself.
    pub interval: u64,
    /// How long one may take.
    pub timeout: u64,
}

/// A container's health check, with every number filled in. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The check.
    pub probe: Probe,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
    /// How long failures don't count after the start.
    pub start_period: u64,
    /// Between two checks in the start period, until the first success.
    pub start_interval: u64,
    /// What happens to an unhealthy container.
    pub on_failure: OnFailure,
    /// What must succeed before the check proper begins.
    pub startup: Option<Startup>,
    /// Where results go beside the container's state.
    pub log_destination: LogDestination,
    /// How many results are kept; 0 is all.
    pub max_log_count: u32,
    /// How many bytes of output are kept of each; 0 is all.
    pub max_log_size: u32,
}

/// The check of the time before the container is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The check.
    pub probe: Probe,
    /// Failures that restart the container; 0 is never.
    pub retries: u32,
    /// Successes that end the start-up, at least one.
    pub success: u32,
}

impl HealthOptions {
    /// Adds what `newer` says over this.
    pub fn update(&mut self, newer: Self) {
        let Self { disabled, test, interval, timeout, retries, start_period, start_interval, on_failure, .. } = newer;
        // A new check ends `--no-healthcheck`.
        self.disabled = disabled || (self.disabled && test.is_none());
        fill(&mut self.test, test);
        fill(&mut self.interval, interval);
        fill(&mut self.timeout, timeout);
        fill(&mut self.retries, retries);
        fill(&mut self.start_period, start_period);
        fill(&mut self.start_interval, start_interval);
        fill(&mut self.on_failure, on_failure);
        fill(&mut self.startup_test, newer.startup_test);
        fill(&mut self.startup_interval, newer.startup_interval);
        fill(&mut self.startup_timeout, newer.startup_timeout);
        fill(&mut self.startup_retries, newer.startup_retries);
        fill(&mut self.startup_success, newer.startup_success);
        fill(&mut self.log_destination, newer.log_destination);
        fill(&mut self.max_log_count, newer.max_log_count);
        fill(&mut self.max_log_size, newer.max_log_size);
    }

    /// The image's check with what was asked for over it, in the image's form, as `inspect` shows it. `None` is no check.
    pub fn over(&self, image: Option<&Healthcheck>) -> Option<Healthcheck> {
        let mut check = image.cloned().unwrap_or_default();
        if self.disabled {
            return Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
        }
        if let Some(test) = &self.test {
            check.test.clone_from(test);
        }
        for (own, field) in [
            (self.interval, &mut check.interval),
            (self.timeout, &mut check.timeout),
            (self.start_period, &mut check.start_period),
            (self.start_interval, &mut check.start_interval),
            (self.retries.map(u64::from), &mut check.retries),
        ] {
            if let Some(value) = own {
                *field = i64::try_from(value).unwrap_or(i64::MAX);
            }
        }
        (!check.test.is_empty()).then_some(check)
    }
}

fn fill<T>(field: &mut Option<T>, newer: Option<T>) {
    if newer.is_some() {
        *field = newer;
    }
}

impl HealthCheck {
    /// What the monitor does for a container of an image with the check `image`.
    pub fn new(options: &HealthOptions, image: Option<&Healthcheck>) -> Option<Self> {
        let check = options.over(image)?;
        let args = command(&check.test)?;
        // 0 in an image is the default; asked for, it is never.
        let or = |value: i64, default: u64| u64::try_from(value).ok().filter(|v| *v > 0).unwrap_or(default);
        let interval = if options.interval == Some(0) { 0 } else { or(check.interval, 30 * SECOND) };
        let startup = options.startup_test.as_deref().and_then(command).map(|args| Startup {
            probe: Probe {
                args,
                interval: options.startup_interval.unwrap_or(30 * SECOND),
                timeout: options.startup_timeout.unwrap_or(30 * SECOND),
            },
            retries: options.startup_retries.unwrap_or(0),
            success: options.startup_success.unwrap_or(0).max(1),
        });
        Some(Self {
            probe: Probe { args, interval, timeout: or(check.timeout, 30 * SECOND) },
            retries: u32::try_from(or(check.retries, 3)).unwrap_or(u32::MAX),
            start_period: or(check.start_period, 0),
            start_interval: or(check.start_interval, 5 * SECOND),
            on_failure: options.on_failure.unwrap_or_default(),
            startup,
            log_destination: options.log_destination.clone().unwrap_or(LogDestination::Local),
            max_log_count: options.max_log_count.unwrap_or(5),
            max_log_size: options.max_log_size.unwrap_or(4096),
        })
    }
}

/// What a test executes; `None` for `NONE` and for what says nothing.
fn command(test: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = test.split_first()?;
    let first = rest.first()?;
    match kind.as_str() {
        "CMD" => Some(rest.to_vec()),
        "CMD-SHELL" => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), first.clone()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn image() -> Healthcheck {
        Healthcheck { test: words("CMD true"), interval: 7, retries: 2, ..Healthcheck::default() }
    }

    #[test]
    fn options_stand_over_the_image_and_defaults_below_it() {
        let plain = HealthCheck::new(&HealthOptions::default(), Some(&image())).unwrap();
        assert_eq!(plain.probe, Probe { args: words("true"), interval: 7, timeout: 30 * SECOND });
        assert_eq!((plain.retries, plain.start_period, plain.start_interval), (2, 0, 5 * SECOND));
        assert_eq!((plain.max_log_count, plain.max_log_size), (5, 4096));
        let options = HealthOptions {
            test: Some(vec!["CMD-SHELL".into(), "a | b".into()]),
            interval: Some(0),
            timeout: Some(9),
            retries: Some(8),
            ..HealthOptions::default()
        };
        let own = HealthCheck::new(&options, Some(&image())).unwrap();
        assert_eq!(
            own.probe,
            Probe { args: vec!["/bin/sh".into(), "-c".into(), "a | b".into()], interval: 0, timeout: 9 }
        );
        assert_eq!(own.retries, 8);
        assert_eq!(HealthCheck::new(&options, None).unwrap().probe, own.probe);
    }

    #[test]
    fn there_may_be_none() {
        let none = HealthOptions { test: Some(words("NONE")), ..HealthOptions::default() };
        let disabled = HealthOptions { disabled: true, ..HealthOptions::default() };
        let lonely = HealthOptions { interval: Some(5), ..HealthOptions::default() };
        for (options, check) in [(&none, Some(image())), (&disabled, Some(image())), (&lonely, None)] {
            assert_eq!(HealthCheck::new(options, check.as_ref()), None);
        }
        assert_eq!(disabled.over(Some(&image())).unwrap().test, ["NONE"]);
        for test in [&[][..], &["CMD"], &["CMD-SHELL"], &["WHAT", "x"]] {
            assert_eq!(command(&test.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()), None, "{test:?}");
        }
    }

    #[test]
    fn newer_options_leave_what_they_do_not_name() {
        let mut options = HealthOptions { disabled: true, retries: Some(4), ..HealthOptions::default() };
        options.update(HealthOptions { interval: Some(1), ..HealthOptions::default() });
        assert!(options.disabled && options.retries == Some(4) && options.interval == Some(1));
        options.update(HealthOptions { test: Some(words("CMD x")), ..HealthOptions::default() });
        assert!(!options.disabled && options.test == Some(words("CMD x")));
    }
}
