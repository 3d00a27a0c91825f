//! `--device`: devices of this machine, one or a folder of them.

use crate::support::Sandbox;

#[test]
fn a_folder_stands_for_its_devices() {
    need!(userns, shell, tun);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let run = |flags: &str, script: &str| {
        let run = sandbox.line("run --rm --network none").args(flags.split(' '));
        run.args(["busybox", "sh", "-c", script]).output()
    };
    assert_eq!(run("--device /dev/net", "test -c /dev/net/tun && : <>/dev/net/tun && echo open").ok(), "open\n");
    assert_eq!(
        run("--device /dev/net/:/x:rw --device /dev/null:/y", "test -c /x/tun && test -c /y && echo both").ok(),
        "both\n"
    );
    assert_eq!(
        run("--device /dev", "test -c /dev/net/tun && test -d /dev/pts && echo >/dev/null && echo all").ok(),
        "all\n"
    );
    sandbox.line("create --name c --network none --device /dev/net busybox ls /dev/net").output().ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), "tun\n");
    assert_eq!(
        sandbox.line("inspect -f {{json(.HostConfig.Devices)}} c").output().ok(),
        "[{\"PathOnHost\":\"/dev/net\",\"PathInContainer\":\"/dev/net\",\"CgroupPermissions\":\"rwm\"}]\n"
    );
    sandbox.line("rm c").output().ok();
}

#[test]
fn what_is_no_device_leaves_no_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let folder = sandbox.path("folder");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.display();
    for (device, said) in [
        (
            "/etc/passwd".to_owned(),
            "--device: `/etc/passwd` is no device\nhint: a file or a folder is mounted by -v /etc/passwd:/etc/passwd\n"
                .to_owned(),
        ),
        ("/nowhere".to_owned(), "--device: look at `/nowhere`: No such file or directory (ENOENT)\n".to_owned()),
        (folder.to_string(), format!("--device: there are no devices in `{folder}`\n")),
    ] {
        for command in ["run", "create"] {
            let run = sandbox.line(command).args(["--network", "none", "--device", &device, "busybox", "true"]);
            assert_eq!(run.output().fails(125), format!("runr: {said}"));
        }
    }
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}
