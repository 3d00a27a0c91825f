//! The `Config` of a container's document: the image's words with what the options changed.

use crate::image::config::Execution;
use crate::spec::ContainerOptions;
use crate::spec::defaults::STOP_TIMEOUT_SECONDS;
use crate::spec::ports::exposed_keys;
use crate::state::containers::Container;
use serde_json::{Map, Value, json};

/// docker's `Config`: the image's, with what the options changed.
pub(super) fn config(container: &Container, image_name: &str) -> Value {
    let (record, options) = (&container.record, &container.record.options);
    let attached = container.state.attached;
    let image = &record.execution;
    let mut labels = image.labels.clone();
    labels.extend(options.labels.clone());
    let entrypoint = options.entrypoint.clone().or_else(|| image.entrypoint.clone());
    let command = if options.command.is_empty() {
        // A new entrypoint drops the image's command.
        if options.entrypoint.is_some() { None } else { image.cmd.clone() }
    } else {
        Some(options.command.clone())
    };
    let hostname = options.hostname.clone().unwrap_or_else(|| record.id.chars().take(12).collect());
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("Hostname", hostname.into());
    put("Domainname", options.domainname.clone().unwrap_or_default().into());
    put("User", options.user.clone().unwrap_or_else(|| image.user.clone()).into());
    put("AttachStdin", attached.stdin.into());
    put("AttachStdout", attached.stdout.into());
    put("AttachStderr", attached.stderr.into());
    let exposed = exposed_keys(image, options);
    if !exposed.is_empty() {
        put("ExposedPorts", json!(exposed));
    }
    put("Tty", options.tty.into());
    put("OpenStdin", options.interactive.into());
    put("StdinOnce", (options.interactive && attached.stdin).into());
    put("Env", environment(image, options).into());
    put("Cmd", json!(command));
    if let Some(check) = options.health.over(image.healthcheck.as_ref()) {
        put("Healthcheck", json!(check));
    }
    put("Image", image_name.into());
    put("Volumes", if image.volumes.is_empty() { Value::Null } else { json!(image.volumes) });
    put("WorkingDir", options.workdir.clone().unwrap_or_else(|| image.working_dir.clone()).into());
    put("Entrypoint", json!(entrypoint.filter(|e| !e.is_empty())));
    put("OnBuild", Value::Null);
    put("Labels", json!(labels));
    if let Some(signal) = options.stop_signal.clone().or_else(|| image.stop_signal.clone()) {
        put("StopSignal", signal.into());
    }
    put("SystemdMode", (options.systemd == crate::spec::systemd::Systemd::On).into());
    put("StopTimeout", options.stop_timeout.unwrap_or(STOP_TIMEOUT_SECONDS).into());
    if let Some(shell) = &image.shell {
        put("Shell", json!(shell));
    }
    put("Annotations", json!(options.annotations));
    put("Umask", format!("{:04o}", options.umask.unwrap_or(0o022)).into());
    put("Timeout", options.timeout.into());
    put("Timezone", options.tz.clone().unwrap_or_default().into());
    put("Passwd", (!options.accounts.off).into());
    put("sdNotifyMode", json!(options.sdnotify));
    Value::Object(map)
}

/// The image's variables with the options' laid over them.
fn environment(image: &Execution, options: &ContainerOptions) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut variables: Vec<String> = if options.unset_env_all { Vec::new() } else { image.env.clone() };
    variables.retain(|v| !options.unset_env.contains(&name(v)));
    for variable in &options.env {
        match variables.iter_mut().find(|v| name(v) == name(variable)) {
            Some(slot) => slot.clone_from(variable),
            None => variables.push(variable.clone()),
        }
    }
    variables
}
