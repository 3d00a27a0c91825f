//! Start of a container: one that was just made, or one that stands there stopped.

use super::containers::gone;
use super::create::Created;
use super::files::mount::refuse_mounted;
use super::{images, plan};
use crate::base::progress::Progress;
use crate::base::{Error, Result, fsx};
use crate::runtime::mount_options;
use crate::runtime::plan::{MountSource, MountStep, Plan};
use crate::spec::options::SdNotify;
use crate::state::containers::{Container, short};
use crate::state::log::{Driver, Settings};
use crate::state::{ContainerRecord, Containers, NewContainer, Status};
use crate::store::Store;
use crate::supervise::control::{connect_to, next};
use crate::supervise::monitor::{self, Assignment};
use crate::supervise::notify::{self, Notify};
use crate::supervise::process::Stdio;
use crate::supervise::protocol::Request;
use crate::supervise::{client, orphans, volumes};
use crate::sys::channel::Channel;
use crate::sys::term::Size;
use std::time::{Duration, Instant};

/// How long another command may take to start or remove the container that is to be started.
const PATIENCE: Duration = Duration::from_secs(30);

/// A container that is to be started, once its lock is taken.
#[derive(Debug)]
pub enum Taken {
    /// It runs already.
    Running(Box<Container>),
    /// It is stopped, and nobody else can start or remove it meanwhile.
    Stopped(Box<NewContainer>),
}

/// How the caller of a start is connected to the container.
#[derive(Debug, Default)]
pub struct Caller {
    /// Its streams.
    pub stdio: Stdio,
    /// Of its terminal.
    pub size: Option<Size>,
    /// Variables of this start only: they come last.
    pub env: Vec<String>,
    /// Its service manager.
    pub notify: Option<Notify>,
    /// Only set it up.
    pub hold: bool,
}

/// Starts the containers that `record` requires, and what they require, unless they run.
///
/// The calling process must have no other thread.
pub fn required(store: &Store, record: &ContainerRecord, progress: &dyn Progress) -> Result<()> {
    for id in &record.options.requires {
        let start = || -> Result<()> {
            let container = match take(store, id)? {
                Taken::Stopped(container) => container,
                Taken::Running(container) => {
                    let released = release(&container)?;
                    return released.map_or(Ok(()), |channel| client::await_start(&channel).map(drop));
                }
            };
            // A container requires only older ones, so this ends.
            let channel = again(store, *container, Caller::default(), progress)?;
            client::await_start(&channel).map(drop)
        };
        start().map_err(|e| e.step(format!("start required container `{}`", short(id))))?;
    }
    Ok(())
}

/// Starts a container that was just made. Returns the channel to its monitor.
///
/// The calling process must have no other thread.
pub fn first(store: &Store, created: Created, caller: Caller, progress: &dyn Progress) -> Result<Channel> {
    required(store, &created.container.record, progress)?;
    let (container, plan) = created.into_plan(store, progress)?;
    // From here on the terminal is the container's.
    progress.finish();
    fork_monitor(store, container, plan, caller)
}

/// Starts a stopped container again. Returns the channel to its monitor.
///
/// The calling process must have no other thread.
pub fn again(store: &Store, container: NewContainer, caller: Caller, progress: &dyn Progress) -> Result<Channel> {
    required(store, &container.record, progress)?;
    refuse_mounted(&container.record, &container.folder)?;
    let plan = plan::plan(store, &container.record, &container.folder, progress)?;
    progress.finish();
    fork_monitor(store, container, plan, caller)
}

/// Lets a container that is only initialized execute its command: the channel to its monitor, which tells of the start. `None`
/// for one that does already.
pub fn release(container: &Container) -> Result<Option<Channel>> {
    if container.state.status != Status::Initialized {
        return Ok(None);
    }
    let ended = || Error::conflict("the container ended before it could be started");
    let channel = connect_to(&container.folder)?.ok_or_else(ended)?;
    channel.send(&Request::Start, &[])?.then_some(Some(channel)).ok_or_else(ended)
}

/// Sets up a stopped container so that only its command remains to be executed, and waits until that is done.
///
/// The calling process must have no other thread. Errors: `NotFound`; `Conflict` for one that has a process already.
pub fn initialize(store: &Store, word: &str, caller: Caller, progress: &dyn Progress) -> Result<()> {
    let container = match take(store, word)? {
        Taken::Stopped(container) => *container,
        Taken::Running(container) => {
            let (id, state) = (short(&container.record.id), container.state.status.word());
            let text = format!("cannot initialize container `{word}`: container {id} is {state} already");
            return Err(Error::conflict(text));
        }
    };
    let channel = again(store, container, Caller { hold: true, ..caller }, progress)?;
    next(&channel)?.map(drop).ok_or_else(monitor::lost)
}

/// Takes the lock of the container that `word` names, after what a dead monitor left of it is cleared away.
///
/// Errors: `NotFound`; `Conflict` when another command keeps it for long without running it.
pub fn take(store: &Store, word: &str) -> Result<Taken> {
    let all = Containers::new(store.paths());
    let id = all.resolve(word)?;
    let begin = Instant::now();
    loop {
        if let Some(container) = all.take_stopped(&id).map_err(|e| gone(e, word))? {
            let state = &container.former;
            orphans::kill_leftovers(state);
            if container.record.options.remove && state.process.is_some() {
                // Its monitor died before it could remove it.
                orphans::discard(store, &id, Some(&container.record.name), &container.record.map)?;
                return Err(Error::not_found(format!("no such container: {word}")));
            }
            return Ok(Taken::Stopped(Box::new(container)));
        }
        let container = all.load(&id).map_err(|e| gone(e, word))?;
        if container.state.status.is_alive() && container.state.process.is_some() {
            return Ok(Taken::Running(Box::new(container)));
        }
        if begin.elapsed() > PATIENCE {
            return Err(Error::conflict(format!(
                "container `{}` is being started or removed by another command",
                short(&id)
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn fork_monitor(store: &Store, container: NewContainer, mut plan: Plan, caller: Caller) -> Result<Channel> {
    let Caller { mut stdio, size, env, notify, hold } = caller;
    if Settings::of(&container.record.options)?.driver == Driver::Passthrough {
        stdio = stdio.direct()?;
    }
    env.iter().for_each(|pair| set_variable(&mut plan, pair));
    if notify.as_ref().is_some_and(|n| n.who == SdNotify::Container) {
        fsx::ensure_dir(&notify::folder(&container.folder), 0o755)?;
        plan.mounts.push(MountStep {
            source: MountSource::Bind(notify::folder(&container.folder)),
            target: notify::TARGET.to_owned(),
            options: mount_options::parse(&["bind".to_owned(), "ro".to_owned()])?,
        });
        set_variable(&mut plan, &format!("NOTIFY_SOCKET={}", notify::inside()));
    }
    // A removal that fails has nobody to be told to.
    let afterwards: fn(&Store, &ContainerRecord) = |store, record| drop(images::remove_after(store, record));
    let afterwards = container.record.options.remove_image.then_some(afterwards);
    let volumes = if container.record.options.remove { volumes::own(&container.record.options) } else { Vec::new() };
    monitor::start(Assignment { store: store.clone(), container, plan, stdio, size, notify, hold, volumes, afterwards })
}

fn set_variable(plan: &mut Plan, pair: &str) {
    let name = pair.split('=').next();
    plan.process.env.retain(|old| old.split('=').next() != name);
    plan.process.env.push(pair.to_owned());
}
