//! The control protocol between versions: what a command of version 1 says to a monitor, and what a monitor of version 1 says to
//! a command, word for word as they were recorded. A newer runr must understand both: containers outlive an upgrade.

use crate::support::Sandbox;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, connect, listen,
    recv, sendmsg, socket,
};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn packet_socket() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn say(socket: &OwnedFd, packet: &str, fds: &[RawFd]) {
    let control = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage] = if fds.is_empty() { &[] } else { &control };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet.as_bytes())], control, MsgFlags::MSG_NOSIGNAL, None)
        .unwrap();
}

/// The next packet; empty at the end.
fn hear(socket: &OwnedFd) -> String {
    let mut buffer = vec![0; 65536];
    let n = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap_or(0);
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

fn ctl(sandbox: &Sandbox, id: &str) -> PathBuf {
    sandbox.store().join("containers").join(id).join("ctl")
}

/// The socket's address by a descriptor of its folder, as the program has it: its whole path may be longer than an address.
fn address(path: &Path) -> (File, UnixAddr) {
    let folder = File::open(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).as_str()).unwrap();
    (folder, address)
}

/// A client of version 1.
fn client(path: &Path) -> OwnedFd {
    let socket = packet_socket();
    let (_folder, address) = address(path);
    connect(socket.as_raw_fd(), &address).unwrap();
    let hello = hear(&socket);
    assert!(hello.starts_with(r#"{"Hello":{"protocol":1,"runr":""#), "{hello}");
    socket
}

fn started(sandbox: &Sandbox, script: &str) -> String {
    let run = sandbox.line("run -d -i --network none busybox sh -c");
    run.arg(script).output().ok().trim().to_owned()
}

#[test]
fn a_monitor_understands_commands_of_version_1() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = started(&sandbox, "trap 'echo usr1' USR1; trap 'exit 6' TERM; while :; do sleep 0.05; done");
    let path = ctl(&sandbox, &id);
    std::thread::sleep(Duration::from_millis(300));

    let attached = client(&path);
    let (read, write) = nix::unistd::pipe().unwrap();
    say(
        &attached,
        r#"{"Attach":{"stdin":false,"stdin_is_relayed":false,"stdout":true,"stderr":false,"size":null}}"#,
        &[write.as_raw_fd()],
    );
    drop(write);
    assert_eq!(hear(&attached), r#""Done""#);

    let killer = client(&path);
    say(&killer, r#"{"Kill":{"signal":10}}"#, &[]);
    assert_eq!(hear(&killer), r#""Done""#);
    let mut text = [0; 5];
    nix::unistd::read(&read, &mut text).unwrap();
    assert_eq!(&text, b"usr1\n");
    // A field and a request of a later version.
    say(&killer, r#"{"Kill":{"signal":10,"gently":true}}"#, &[]);
    assert_eq!(hear(&killer), r#""Done""#);
    say(&killer, r#"{"Teleport":{}}"#, &[]);
    assert!(hear(&killer).starts_with(r#"{"Failed":"#));
    say(&killer, "not even JSON", &[]);
    assert!(hear(&killer).starts_with(r#"{"Failed":"#));

    say(&killer, r#"{"Root":{"alone":true}}"#, &[]);
    assert_eq!(hear(&killer), r#""Root""#);

    let exec = client(&path);
    let (out, end) = nix::unistd::pipe().unwrap();
    let spec = r#"{"Exec":{"id":"ab","args":["sh","-c","echo from exec; exit 3"],"env":["A=1"],"tty":false,"stdin":false,"stdout":true,"stderr":false,"privileged":false,"detach":false}}"#;
    say(&exec, spec, &[end.as_raw_fd()]);
    drop(end);
    assert!(hear(&exec).starts_with(r#"{"Started":{"pid":"#));
    assert_eq!(hear(&exec), r#"{"Exited":{"code":3}}"#);
    let mut text = [0; 10];
    nix::unistd::read(&out, &mut text).unwrap();
    assert_eq!(&text, b"from exec\n");

    let waiting = client(&path);
    say(&waiting, r#""Wait""#, &[]);
    let stopper = client(&path);
    say(&stopper, r#"{"Stop":{}}"#, &[]);
    for socket in [&stopper, &waiting, &attached] {
        assert_eq!(hear(socket), r#"{"Exited":{"code":6}}"#);
    }
    sandbox.runr(["rm", &id]).output().ok();
}

/// A monitor of version 1: the given answers to the expected requests, one connection each.
fn monitor(path: &Path, exchanges: Vec<(&'static str, Vec<&'static str>)>) -> std::thread::JoinHandle<Vec<String>> {
    let listener = packet_socket();
    drop(std::fs::remove_file(path));
    let (_folder, address) = address(path);
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(8).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        for (expected, answers) in exchanges {
            let socket = accept(&listener).unwrap();
            say(&socket, r#"{"Hello":{"protocol":1,"runr":"0.1.0"}}"#, &[]);
            let request = hear(&socket);
            heard.push(format!("{expected} <- {request}"));
            for answer in answers {
                say(&socket, answer, &[]);
            }
            // Until the client has read it all and goes.
            hear(&socket);
        }
        heard
    })
}

/// A process as a record has it: none that exists.
fn identity() -> String {
    r#"{"pid":2147483646,"start_time":1,"pid_namespace":1,"boot_id":"another"}"#.to_owned()
}

#[test]
fn a_command_understands_a_monitor_of_version_1() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.line("create --name old busybox true").output().ok().trim().to_owned();
    let folder = sandbox.store().join("containers").join(&id);
    // A container that an older runr runs: its lock is held, its state says so.
    let lock = std::fs::OpenOptions::new().read(true).write(true).open(folder.join("lock")).unwrap();
    assert!(runr::sys::lock::try_lock(&lock, runr::sys::lock::Mode::Exclusive).unwrap());
    let state = r#"{"version":1,"status":"running","process":null,"cgroup":null,"started":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(folder.join("state.json"), state).unwrap();
    let old = monitor(
        &folder.join("ctl"),
        vec![
            ("Kill", vec![r#""Done""#]),
            ("Exec", vec![r#"{"Started":{"pid":7,"notes":[]}}"#, r#"{"Exited":{"code":4}}"#]),
            ("Pause", vec![r#"{"Failed":{"kind":"Unsupported","steps":["no cgroup here"],"errno":null,"hints":[]}}"#]),
            ("Stop", vec![r#"{"Exited":{"code":0}}"#]),
        ],
    );
    assert_eq!(sandbox.line("kill -s HUP old").output().ok(), "old\n");
    sandbox.line("exec old true").output().exits(4);
    let refused = sandbox.line("pause old").output().fails(125);
    assert!(refused.contains("no cgroup here"), "{refused}");
    assert_eq!(sandbox.line("stop old").output().ok(), "old\n");
    let heard = old.join().unwrap();
    assert_eq!(heard[0], r#"Kill <- {"Kill":{"signal":1}}"#);
    assert!(heard[1].starts_with(r#"Exec <- {"Exec":{"id":""#), "{heard:?}");
    assert_eq!(heard[2], r#"Pause <- "Pause""#);
    assert!(heard[3].starts_with(r#"Stop <- {"Stop":{"#), "{heard:?}");
    // One that is only initialized, which came later in version 1.
    std::fs::write(folder.join("state.json"), state.replace("running", "initialized").replacen("null", &identity(), 1))
        .unwrap();
    let old = monitor(&folder.join("ctl"), vec![("Start", vec![r#"{"Started":{"pid":7,"notes":[]}}"#])]);
    assert_eq!(sandbox.line("start old").output().ok(), "old\n");
    assert_eq!(old.join().unwrap(), [r#"Start <- "Start""#]);
    drop(lock);
    std::fs::write(folder.join("state.json"), state.replace("running", "created")).unwrap();
    sandbox.line("rm old").output().ok();
}

#[test]
fn a_container_outlives_the_executable_that_started_it() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let own = sandbox.path("bin/own");
    std::fs::copy(crate::support::sandbox::binary(), &own).unwrap();
    let run = sandbox.command(&own).args(["run", "-d", "--name", "c", "--network", "none", "busybox"]);
    run.args(["sh", "-c", "trap 'exit 2' TERM; while :; do sleep 0.05; done"]).output().ok();
    // An upgrade: another file under the same name.
    let new = sandbox.path("bin/new");
    std::fs::copy(crate::support::sandbox::binary(), &new).unwrap();
    std::fs::rename(&new, &own).unwrap();
    let call = |args: &str| sandbox.command(&own).args(args.split_whitespace()).output();
    assert_eq!(call("exec c echo joined").ok(), "joined\n");
    std::fs::remove_file(&own).unwrap();
    assert_eq!(sandbox.line("exec c echo again").output().ok(), "again\n");
    assert_eq!(sandbox.line("stop c").output().ok(), "c\n");
    assert_eq!(sandbox.line("wait c").output().ok(), "2\n");
    sandbox.line("rm c").output().ok();
}
