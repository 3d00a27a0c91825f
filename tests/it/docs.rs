//! The man pages and completion scripts of the project: up to date, readable by `man`, and working in each shell.

use crate::support::Sandbox;
use std::path::Path;

/// Every file that `runr __generate` writes is in the project as it is, and nothing else is.
#[test]
fn man_pages_and_completions_are_what_the_flags_say() {
    let sandbox = Sandbox::new();
    sandbox.runr(["__generate", sandbox.dir().to_str().unwrap()]).output().ok();
    for folder in ["completions", "man"] {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = |dir: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let fresh = sandbox.path(folder);
        assert_eq!(names(&ours), names(&fresh), "run: runr __generate .");
        for name in names(&fresh) {
            let same = std::fs::read(ours.join(&name)).unwrap() == std::fs::read(fresh.join(&name)).unwrap();
            assert!(same, "{folder}/{} is stale: run `cargo run -- __generate .`", name.display());
        }
    }
}

#[test]
fn the_scripts_are_the_ones_that_runr_prints() {
    let sandbox = Sandbox::new();
    for (shell, file) in [("bash", "runr.bash"), ("zsh", "_runr"), ("fish", "runr.fish")] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(file);
        assert_eq!(sandbox.runr(["completion", shell]).output().ok(), std::fs::read_to_string(script).unwrap());
    }
    assert_eq!(
        sandbox.runr(["completion", "csh"]).output().fails(125),
        "runr: completion: unknown shell `csh`\nhint: use bash, zsh or fish\n"
    );
}

#[test]
fn man_shows_the_pages() {
    need!(tool("man"));
    let sandbox = Sandbox::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/runr-run.1");
    let shown = sandbox.command("man").env("MANWIDTH", "100").env("MANPAGER", "cat").arg("-l").arg(&page).output().ok();
    for part in ["runr-run", "runr run [OPTIONS] <IMAGE> [COMMAND]...", "Also called as runr container run."] {
        assert!(shown.contains(part), "`{part}` in:\n{shown}");
    }
    let few = std::fs::read_to_string(page.with_file_name("runr-images.1")).unwrap();
    assert!(few.contains("[\\-f|\\-\\-filter KEY=VALUE]... "), "{few}");
}

/// What one shell offers for a line.
fn offered(sandbox: &Sandbox, shell: &str, line: &str) -> Vec<String> {
    let completions = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    let script = match shell {
        "bash" => format!(
            "source {}/runr.bash; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}; _runr; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            completions.display()
        ),
        // The completion system needs a terminal; its two ends are replaced.
        "zsh" => format!(
            "_describe() {{ print -rl -- ${{(P)3}} | sed 's/\\\\:/\\x01/g; s/:.*//; s/\\x01/:/g' }}; _files() {{ :; }}; \
             compdef() {{ :; }}; source {}/_runr; words=(${{(z)line}}); [[ $line == *' ' ]] && words+=(''); \
             CURRENT=$#words; _runr",
            completions.display()
        ),
        _ => format!("source {}/runr.fish; complete --do-complete '{line}' | cut -f1", completions.display()),
    };
    let no_rc: &[&str] = match shell {
        "bash" => &["--norc"],
        "zsh" => &["-f"],
        _ => &["--no-config"],
    };
    let output = sandbox.command(shell).args(no_rc).arg("-c").arg(script).env("line", line).output().ok();
    output.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_values_and_names() {
    need!(userns, shell, tool("bash"));
    complete_in("bash", "latest");
}

#[test]
fn zsh_completes_commands_flags_values_and_names() {
    need!(userns, shell, tool("zsh"));
    complete_in("zsh", "busybox:latest");
}

#[test]
fn fish_completes_commands_flags_values_and_names() {
    need!(userns, shell, tool("fish"));
    complete_in("fish", "busybox:latest");
}

/// `tag` is what a shell replaces when the line ends with `busybox:l`.
fn complete_in(shell: &str, tag: &str) {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("run --name my-box --network none busybox true").output().ok();
    for (line, expected) in [
        ("runr ima", &["image", "images"][..]),
        ("runr image l", &["ls"]),
        ("runr run --entry", &["--entrypoint"]),
        ("runr run --pull nev", &["never"]),
        ("runr run --rm -it bus", &["busybox:latest"]),
        ("runr run -e A=b bus", &["busybox:latest"]),
        ("runr run busybox:l", &[tag]),
        ("runr rm my", &["my-box"]),
        ("runr rmi bus", &["busybox:latest"]),
        ("runr inspect my", &["my-box"]),
        ("runr ps --filter status=pa", &[if shell == "bash" { "paused" } else { "status=paused" }]),
        ("runr run --cap-add SYS_PT", &["SYS_PTRACE"]),
        ("runr help image l", &["ls"]),
        ("runr completion fi", &["fish"]),
        ("runr cp my", &["my-box:"]),
    ] {
        let mut words = offered(&sandbox, shell, line);
        let mut expected: Vec<&str> = expected.to_vec();
        words.sort();
        expected.sort_unstable();
        assert_eq!(words, expected, "{shell}: {line}");
    }
    sandbox.line("rm my-box").output().ok();
}
