//! The examples of the README are true: every `console` block is typed into a shell, and what the README shows is compared
//! with what comes out. `...` stands for any lines, `…` for any characters of a line. A block `console no-run` is not run.

use crate::support::{Sandbox, base_image};
use std::path::Path;

/// One command of a block, and the lines that are shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// The blocks of a text, each a list of commands.
fn blocks(text: &str) -> Vec<Vec<Example>> {
    let mut blocks = Vec::new();
    let mut current: Option<Vec<Example>> = None;
    let mut continues = false;
    for (number, line) in text.lines().enumerate() {
        let Some(block) = &mut current else {
            if line == "```console" {
                current = Some(Vec::new());
            }
            continue;
        };
        if line == "```" {
            blocks.extend(current.take());
        } else if continues {
            let last = block.last_mut().unwrap();
            last.command.push('\n');
            last.command.push_str(line.strip_prefix("> ").unwrap_or(line));
            continues = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            continues = command.ends_with('\\');
            block.push(Example { line: number + 1, command: command.to_owned(), output: Vec::new() });
        } else {
            block.last_mut().expect("output before a command").output.push(line.to_owned());
        }
    }
    blocks
}

fn line_matches(shown: &str, real: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = real.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn output_matches(shown: &[String], real: &[&str]) -> bool {
    match shown.split_first() {
        None => real.is_empty(),
        Some((first, others)) if first == "..." => (0..=real.len()).any(|skip| output_matches(others, &real[skip..])),
        Some((first, others)) => real
            .split_first()
            .is_some_and(|(line, rest)| line_matches(first, line.trim_end()) && output_matches(others, rest)),
    }
}

/// Types the commands of one block into one shell.
fn run_block(sandbox: &Sandbox, block: &[Example]) -> Vec<String> {
    let marker = "=8<=";
    let script: String = block.iter().map(|e| format!("{}\necho \"\n{marker}$?\"\n", e.command)).collect();
    let said = sandbox.sh(&format!("exec 2>&1\n{script}")).cwd(sandbox.home()).output();
    let mut rest = said.stdout.as_str();
    let mut wrong = Vec::new();
    for example in block {
        let (real, after) = rest.split_once(&format!("\n{marker}")).unwrap_or((rest, ""));
        let (status, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let real_lines: Vec<&str> = real.lines().collect();
        let good = if example.output.is_empty() { status == "0" } else { output_matches(&example.output, &real_lines) };
        if !good {
            wrong.push(format!(
                "README.md:{}: $ {}\nshown:\n{}\nreal (status {status}):\n{real}\n",
                example.line,
                example.command,
                example.output.join("\n")
            ));
        }
    }
    wrong
}

#[test]
fn the_examples_of_the_readme_work() {
    need!(userns, shell);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= 3, "the README has no examples");
    let sandbox = Sandbox::new();
    // The names of the README, without the network.
    let archive = sandbox.path("images.tar");
    base_image().write_docker_archive(&archive, &["alpine:latest", "busybox:latest", "debian:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    let wrong: Vec<String> = blocks.iter().flat_map(|block| run_block(&sandbox, block)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn examples_are_compared_with_their_wildcards() {
    let text = "x\n```console\n$ one \\\n> two\nout\n...\nend…z\n$ three\n```\n```console no-run\n$ not\n```\n";
    let found = blocks(text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0][0].command, "one \\\ntwo");
    assert_eq!(found[0][1].command, "three");
    let shown = &found[0][0].output;
    assert!(output_matches(shown, &["out", "endz"]));
    assert!(output_matches(shown, &["out", "a", "b", "end---z"]));
    assert!(!output_matches(shown, &["out", "a"]));
    assert!(!output_matches(&["a".to_owned()], &["a", "b"]));
    assert!(line_matches("a…b…c", "axxbyyc") && !line_matches("a…b", "axxbyyc") && line_matches("…", ""));
}
