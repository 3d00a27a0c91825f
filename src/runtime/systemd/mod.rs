//! systemd, asked for a cgroup: `StartTransientUnit` makes a scope around processes that run already and delegates it
//! (systemd's CGROUP_DELEGATION.md; org.freedesktop.systemd1(5)). A small client of our own: one call, one answer, one signal.
//!
//! The user's manager listens on a socket of its own, without a bus between; where that is out of reach, the bus is asked.

mod wire;

use crate::base::{Doing, Error, Kind, Result};
use nix::unistd::{Pid, Uid};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::{Call, FIXED, Message, MessageKind, Writer};

/// How long the service manager may take, all in all.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest line of the greeting.
const MAX_LINE: usize = 512;

const MANAGER: Call<'static> = Call {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
    signature: "ssa(sv)a(sa(sv))",
};
const BUS: Call<'static> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    signature: "",
};
const JOB_REMOVED: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A scope to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// `runr-….scope`.
    pub(super) name: &'a str,
    /// Below which slice; the manager's own choice if there is none.
    pub(super) slice: Option<&'a str>,
    /// The process that goes into it.
    pub(super) pid: Pid,
}

/// Makes a delegated scope of this user's service manager (root: the machine's) and waits until the process is in it.
///
/// Errors: `Unsupported` when no service manager can be reached; `Io` when it refuses.
pub(super) fn start(scope: &Scope<'_>) -> Result<()> {
    let mut last = Error::unsupported("no service manager of this user's can be reached");
    for (socket, is_bus) in sockets(Uid::effective()) {
        if !socket.exists() {
            continue;
        }
        match Connection::open(&socket, is_bus) {
            Ok(mut connection) => return connection.start(scope),
            Err(e) => last = e.with_kind(Kind::Unsupported),
        }
    }
    Err(last)
}

/// True when there is somebody to ask.
pub(super) fn is_reachable() -> bool {
    sockets(Uid::effective()).iter().any(|(socket, _)| socket.exists())
}

/// Where to ask, and whether a bus is in between. systemd has these folders at fixed places; the environment may be another user's.
fn sockets(uid: Uid) -> [(PathBuf, bool); 2] {
    if uid.is_root() {
        return [("/run/systemd/private".into(), false), ("/run/dbus/system_bus_socket".into(), true)];
    }
    let folder = Path::new("/run/user").join(uid.to_string());
    [(folder.join("systemd/private"), false), (folder.join("bus"), true)]
}

struct Connection {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
}

impl Connection {
    fn open(socket: &Path, is_bus: bool) -> Result<Self> {
        let stream = UnixStream::connect(socket).doing(|| format!("connect to `{}`", socket.display()))?;
        let mut connection = Self { stream, deadline: Instant::now() + PATIENCE, serial: 0 };
        connection.greet().map_err(|e| e.step(format!("connect to `{}`", socket.display())))?;
        if is_bus {
            connection.call(&BUS, &[])?;
            let mut rule = Writer::default();
            rule.string(JOB_REMOVED);
            connection.call(&Call { member: "AddMatch", signature: "s", ..BUS }, &rule.into_bytes())?;
        }
        Ok(connection)
    }

    /// D-Bus Specification, "Authentication Protocol": the kernel says who we are.
    fn greet(&mut self) -> Result<()> {
        let uid: String = Uid::effective().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        self.send(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() >= MAX_LINE {
                return Err(Error::corrupt("the service manager's greeting has no end"));
            }
            line.extend(self.receive::<1>()?);
        }
        if !line.starts_with(b"OK ") {
            return Err(Error::new(Kind::Denied, "the service manager does not let this user in"));
        }
        self.send(b"BEGIN\r\n")
    }

    fn start(&mut self, scope: &Scope<'_>) -> Result<()> {
        let answer = self.call(&MANAGER, &body(scope)).map_err(|e| e.step("ask the service manager for a cgroup"))?;
        let job = answer.strings()?.into_iter().next().unwrap_or_default();
        loop {
            // The signal can't come before the answer.
            let message = self.next()?;
            if message.kind != MessageKind::Signal || message.member != "JobRemoved" {
                continue;
            }
            let strings = message.strings()?;
            if strings.first() != Some(&job) {
                continue;
            }
            return match strings.get(2).map(String::as_str) {
                Some("done") => Ok(()),
                other => Err(Error::new(
                    Kind::Io,
                    format!("the service manager could not make `{}`: {}", scope.name, other.unwrap_or("no reason")),
                )),
            };
        }
    }

    /// Calls and waits for the answer; what else comes meanwhile is nobody's.
    fn call(&mut self, call: &Call<'_>, body: &[u8]) -> Result<Message> {
        self.serial += 1;
        self.send(&call.encode(self.serial, body))?;
        loop {
            let message = self.next()?;
            match message.kind {
                MessageKind::Return if message.reply_to == Some(self.serial) => return Ok(message),
                MessageKind::Error if message.reply_to == Some(self.serial) => {
                    let text = message.strings()?.into_iter().next().unwrap_or_else(|| message.error.clone());
                    return Err(Error::new(Kind::Io, printable(&text)));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Message> {
        let fixed = self.receive::<FIXED>()?;
        let mut bytes = vec![0; wire::length(&fixed)?];
        bytes[..FIXED].copy_from_slice(&fixed);
        self.fill(&mut bytes[FIXED..])?;
        Message::decode(&bytes)
    }

    fn receive<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// `read_exact` with one deadline for all of it.
    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?)).doing(|| "wait for the service manager")?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(Error::new(Kind::Io, "the service manager closed the connection")),
                Ok(count) => bytes = &mut bytes[count..],
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(Error::from(e).step("read from the service manager")),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.set_write_timeout(Some(self.left()?)).doing(|| "wait for the service manager")?;
        self.stream.write_all(bytes).doing(|| "write to the service manager")
    }

    fn left(&self) -> Result<Duration> {
        self.deadline
            .checked_duration_since(Instant::now())
            .filter(|d| !d.is_zero())
            .ok_or_else(|| Error::new(Kind::Io, "the service manager does not answer"))
    }
}

/// The arguments: name, mode, properties, further units.
fn body(scope: &Scope<'_>) -> Vec<u8> {
    let mut out = Writer::default();
    out.string(scope.name);
    out.string("fail");
    out.array(8, |out| {
        out.property("Description", "s", |out| out.string("runr container"));
        out.property("PIDs", "au", |out| out.array(4, |out| out.u32(scope.pid.as_raw() as u32)));
        out.property("Delegate", "b", |out| out.u32(1));
        // Nobody looks at a scope that failed.
        out.property("CollectMode", "s", |out| out.string("inactive-or-failed"));
        if let Some(slice) = scope.slice {
            out.property("Slice", "s", |out| out.string(slice));
        }
    });
    out.array(8, |_| {});
    out.into_bytes()
}

/// A foreign text, fit for an error of one line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speak(stream: &mut UnixStream, bytes: &[u8]) {
        stream.write_all(bytes).unwrap();
    }

    /// A manager that answers from a script: the greeting's line, then messages.
    fn manager(greeting: &'static [u8], messages: Vec<Vec<u8>>) -> Result<()> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        speak(&mut theirs, greeting);
        messages.iter().for_each(|m| speak(&mut theirs, m));
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut connection = Connection { stream: ours, deadline: Instant::now() + PATIENCE, serial: 0 };
        connection.greet()?;
        connection.start(&Scope { name: "runr-x.scope", slice: Some("a.slice"), pid: Pid::from_raw(7) })
    }

    /// A message of `kind` to call 1.
    fn message(kind: u8, member: &str, signature: &str, texts: &[&str]) -> Vec<u8> {
        let mut body = Writer::default();
        if signature.starts_with('u') {
            body.u32(1);
        }
        texts.iter().for_each(|t| body.string(t));
        let body = body.into_bytes();
        let mut out = Writer::default();
        let mut bytes = Call { destination: "d", path: "/p", interface: "i", member, signature }.encode(5, &body);
        bytes[1] = kind;
        if kind == 4 {
            return bytes;
        }
        // Its only field that counts is the call that it answers.
        out.array(8, |out| {
            out.align(8);
            for (code, kind) in [(5u8, "u"), (8, "g")] {
                out.align(8);
                out.byte(code);
                out.signature(kind);
                if code == 5 { out.u32(1) } else { out.signature(signature) }
            }
        });
        out.align(8);
        let fields = out.into_bytes();
        let mut bytes = vec![b'l', kind, 0, 1];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        bytes.extend(&fields[..4]);
        // In the message the array stands at a multiple of 8, where alone it stands at 4.
        bytes.extend(&fields[8..]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_scope_is_there_when_its_job_is_done() {
        let accepted = message(2, "", "o", &["/job/7"]);
        let other = message(4, "JobRemoved", "uoss", &["/job/6", "runr-y.scope", "failed"]);
        let done = |word| message(4, "JobRemoved", "uoss", &["/job/7", "runr-x.scope", word]);
        let noise = message(4, "UnitNew", "so", &["a", "/b"]);
        manager(b"OK 12ab\r\n", vec![noise, accepted.clone(), other, done("done")]).unwrap();
        let e = manager(b"OK 12ab\r\n", vec![accepted.clone(), done("failed")]).unwrap_err();
        assert_eq!(e.to_string(), "the service manager could not make `runr-x.scope`: failed");
        let refused = message(3, "", "s", &["Unit runr-x.scope\nalready exists."]);
        let e = manager(b"OK 12ab\r\n", vec![refused]).unwrap_err();
        assert_eq!(e.to_string(), "ask the service manager for a cgroup: Unit runr-x.scopealready exists.");
        let e = manager(b"OK 12ab\r\n", vec![accepted]).unwrap_err();
        assert_eq!(e.to_string(), "the service manager closed the connection");
        let e = manager(b"REJECTED EXTERNAL\r\n", vec![]).unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(manager(&[b'O'; 600], vec![]).is_err());
        assert!(manager(b"OK 1\r\n", vec![vec![0; 64]]).is_err());
    }
}
