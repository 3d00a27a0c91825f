//! Rules about the source that no compiler keeps: who may name whom, how long things may get, what stands at the top of a
//! file, and what must not be in the tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules of the crate, top first. A module may name those of later lines, and neither its neighbours nor those above.
const ORDER: &[&[&str]] = &[
    &["stage"],
    &["cli"],
    &["ops"],
    &["supervise"],
    &["runtime"],
    &["rootfs"],
    &["registry", "archive", "unpack"],
    &["store", "state"],
    &["spec"],
    &["resolver"],
    &["userns"],
    &["image"],
    &["sys"],
    &["base"],
];

/// The longest file, in lines outside its unit tests.
const MAX_FILE: usize = 600;
/// Files that may be longer: (path, lines, reason).
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// The longest function, in lines.
const MAX_FUNCTION: usize = 80;
/// Functions that may be longer: (path, name, lines, reason).
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[];

/// Who reads the environment besides `cli` and the executable itself: (path, reason).
const READS_ENVIRONMENT: &[(&str, &str)] = &[
    ("src/runtime/command.rs", "not runr's: the stage `__exec` is handed the command's own environment as its environ"),
    ("src/userns/subid.rs", "PATH, to find newuidmap: it runs in children that `cli` never sees"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file, cut up.
struct Source {
    /// The path from the root, such as `src/base/error.rs`.
    path: String,
    /// The text as it is.
    text: String,
    /// The text without unit tests, with comments and the insides of strings blanked; its lines are those of `text`.
    code: String,
}

impl Source {
    /// `base` for `src/base/error.rs`, `stage` for `src/stage.rs`.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// A file of unit tests (`mod tests;`), which has no limit on its length and may read the environment.
    fn is_tests(&self) -> bool {
        self.path.starts_with("src/") && self.path.ends_with("/tests.rs")
    }

    fn line_at(&self, byte: usize) -> usize {
        self.code[..byte].matches('\n').count() + 1
    }
}

/// Every Rust file below a folder.
fn sources(folder: &str) -> Vec<Source> {
    files_below(&root().join(folder), &|p| p.extension().is_some_and(|e| e == "rs"))
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = without_tests(&blank(&text));
            Source { path: file.strip_prefix(root()).unwrap().display().to_string(), text, code }
        })
        .collect()
}

fn files_below(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != ".git" {
                found.extend(files_below(&path, wanted));
            }
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Replaces comments and the insides of string and character literals by blanks; newlines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let end = match token_end(text, i) {
            Some(end) => {
                for b in &mut out[i..end] {
                    if *b != b'\n' {
                        *b = b' ';
                    }
                }
                end
            }
            None => i + 1,
        };
        i = end;
    }
    String::from_utf8(out).unwrap()
}

/// Where the comment or literal that starts at `i` ends.
fn token_end(text: &str, i: usize) -> Option<usize> {
    let rest = &text.as_bytes()[i..];
    let find = |needle: &str, from: usize| text.get(i + from..)?.find(needle).map(|at| i + from + at + needle.len());
    let to_end = text.len();
    match rest {
        [b'/', b'/', ..] => Some(find("\n", 0).map_or(to_end, |e| e - 1)),
        [b'/', b'*', ..] => Some(find("*/", 2).unwrap_or(to_end)),
        [b'r', b'"' | b'#', ..] if i == 0 || !is_word(text.as_bytes()[i - 1]) || text.as_bytes()[i - 1] == b'b' => {
            let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return None;
            }
            Some(find(&format!("\"{}", "#".repeat(hashes)), 2 + hashes).unwrap_or(to_end))
        }
        [b'"', ..] => Some(quoted_end(text.as_bytes(), i, b'"')),
        // A quote is a character if it closes soon, else a lifetime.
        [b'\'', b'\\', ..] => Some(quoted_end(text.as_bytes(), i, b'\'')),
        [b'\'', ..] => {
            let mut chars = text[i + 1..].char_indices();
            chars.next()?;
            let (at, close) = chars.next()?;
            (close == '\'').then_some(i + 1 + at + 1)
        }
        _ => None,
    }
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut i = start + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b if b == quote => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Blanks every item that is only compiled for tests.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let Some(open) = out[at..].find(['{', ';']).map(|o| at + o) else { break };
        let end = if out.as_bytes()[open] == b'{' { closing(&out, open) } else { open + 1 };
        let blanked: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blanked);
    }
    out
}

/// The position behind the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The modules that a file names through `crate::`, with the line of each.
fn named_modules(source: &Source) -> Vec<(usize, String)> {
    let word = |text: &str| text.bytes().take_while(|b| is_word(*b)).count();
    let mut named = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        let rest = &source.code[at + "crate::".len()..];
        let line = source.line_at(at);
        if rest.starts_with('{') {
            // `use crate::{a::b, c::{d, e}}`: the words at depth one.
            let group = &rest[1..closing(rest, 0) - 1];
            let mut depth = 0;
            let mut expects = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => expects = true,
                    c if depth == 0 && expects && is_word(c as u8) => {
                        named.push((line, group[i..i + word(&group[i..])].to_owned()));
                        expects = false;
                    }
                    _ => {}
                }
            }
        } else {
            named.push((line, rest[..word(rest)].to_owned()));
        }
    }
    named
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

#[test]
fn modules_name_only_lower_ones() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let from = source.module().to_owned();
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(own) = rank(&from) else {
            wrong.push(format!("{}: `{from}` has no place in ORDER (and in src/lib.rs)", source.path));
            continue;
        };
        for (line, to) in named_modules(&source) {
            // Something that is no module (`crate::Result`) is declared in lib.rs, above everything.
            if to != from && rank(&to).is_none_or(|r| r <= own) {
                wrong.push(format!("{}:{line}: `{from}` may not use `{to}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_is_the_one_that_is_documented() {
    let documented = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let line = ORDER.iter().map(|l| l.join(" ")).collect::<Vec<_>>().join(" · ");
    let flat = documented.replace("//!", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(&line), "src/lib.rs does not show: {line}");
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        let lines = source.code.trim_end().lines().count();
        let in_tests = source.text.lines().count().saturating_sub(lines);
        let allowed = LONG_FILES.iter().find(|f| f.0 == source.path).map_or(MAX_FILE, |f| f.1);
        if lines > allowed && !source.is_tests() {
            wrong.push(format!("{}: {lines} lines (and {in_tests} of tests), {allowed} are allowed", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (path, lines, reason) in LONG_FILES {
        assert!(*lines > MAX_FILE && !reason.is_empty() && root().join(path).exists(), "LONG_FILES: `{path}`");
    }
}

/// Every function of a file: name, first line, number of lines.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(code.as_bytes()[at - 1]) {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(open) = code[at..].find(['{', ';']).map(|o| at + o) else { continue };
        if name.is_empty() || code.as_bytes()[open] == b';' {
            continue;
        }
        let lines = code[at..closing(code, open)].lines().count();
        found.push((name, source.line_at(at), lines));
    }
    found
}

#[test]
fn functions_stay_short() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        for (name, line, lines) in functions(source) {
            let entry = LONG_FUNCTIONS.iter().find(|f| f.0 == source.path && f.1 == name);
            let allowed = entry.map_or(MAX_FUNCTION, |f| f.2);
            if lines > allowed {
                wrong.push(format!("{}:{line}: `{name}` has {lines} lines, {allowed} are allowed", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (path, name, lines, reason) in LONG_FUNCTIONS {
        assert!(*lines > MAX_FUNCTION && !reason.is_empty(), "LONG_FUNCTIONS: `{path}` `{name}`");
    }
}

#[test]
fn unsafe_stays_in_sys_and_says_why() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, _) in source.code.match_indices("unsafe") {
            let around = |i: usize| source.code.as_bytes().get(i).copied().unwrap_or(b' ');
            if (at > 0 && is_word(around(at - 1))) || is_word(around(at + "unsafe".len())) {
                continue;
            }
            let line = source.line_at(at);
            // The probe is nothing but the raw system calls that the tests make inside containers.
            if source.module() != "sys" && source.path != "tests/probe/main.rs" {
                wrong.push(format!("{}:{line}: `unsafe` outside of src/sys", source.path));
                continue;
            }
            let before = &lines[line.saturating_sub(12)..line];
            let note = before.iter().rev().find_map(|l| l.split_once("SAFETY:")).map(|(_, text)| text.trim());
            // "As above" refers to a note; anything shorter is none.
            if note.is_none_or(|n| n.len() < 8) {
                wrong.push(format!("{}:{line}: no SAFETY note that gives a reason", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_its_duty() {
    let silent: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("tests"))
        .filter(|s| !s.text.starts_with("//! ") || s.text.lines().next().unwrap().len() < 20)
        .map(|s| s.path)
        .collect();
    assert!(silent.is_empty(), "these don't open with `//!` and their duty: {silent:?}");
}

/// The Rust files of a folder of tests, and of those below it, that their folder's list does not declare.
fn unregistered(folder: &Path, list: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let declared: BTreeSet<&str> = text
        .lines()
        .filter_map(|l| l.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_folder = entry.file_type().unwrap().is_dir();
        if !is_folder && (path.extension().is_none_or(|e| e != "rs") || stem == "main" || stem == "mod") {
            continue;
        }
        if is_folder {
            let own_list = [path.join("mod.rs"), path.with_extension("rs")].into_iter().find(|l| l.exists());
            // A folder without a list holds data.
            let Some(own_list) = own_list else { continue };
            missing.extend(unregistered(&path, &own_list));
        }
        if !declared.contains(stem.as_str()) {
            missing.push(format!("{} is not declared in {}: its tests never run", path.display(), list.display()));
        }
    }
    missing
}

#[test]
fn every_test_file_is_registered() {
    let folder = root().join("tests/it");
    let missing = unregistered(&folder, &folder.join("main.rs"));
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let excused = READS_ENVIRONMENT.iter().any(|(path, reason)| *path == source.path && !reason.is_empty());
        if excused || source.is_tests() || ["cli", "main"].contains(&source.module()) {
            continue;
        }
        for needle in ["env::var", "env::vars", "env::args"] {
            for (at, _) in source.code.match_indices(needle) {
                wrong.push(format!("{}:{}: `{needle}`: pass it from `cli`", source.path, source.line_at(at)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every test function, as `docs/architecture.md` spells it: `nss::x` of tests/it, `store::layers::tests::x` of src.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        for file in files_below(&root().join(folder), &|p| p.extension().is_some_and(|e| e == "rs")) {
            let below = file.strip_prefix(root().join(folder)).unwrap().with_extension("");
            let module = below.display().to_string().replace('/', "::");
            let module = module.trim_end_matches("::mod").to_owned();
            let inner = if folder == "src" && !module.ends_with("tests") { "::tests" } else { "" };
            let text = std::fs::read_to_string(&file).unwrap();
            for (at, _) in text.match_indices("#[test]") {
                let name = text[at..].split("fn ").nth(1).and_then(|t| t.split('(').next()).unwrap_or_default();
                names.insert(format!("{module}{inner}::{name}"));
            }
        }
    }
    names
}

#[test]
fn every_decision_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = page.split("<!-- decisions -->").nth(1).unwrap();
    let known = test_names();
    let mut wrong = Vec::new();
    for row in table.lines().filter(|l| l.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [decision, _, tests] = cells[..] else { panic!("not three cells: {row}") };
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("no test keeps: {decision}"));
        }
        wrong.extend(named.iter().filter(|n| !known.contains(**n)).map(|n| format!("no such test: {n}")));
    }
    assert!(wrong.is_empty(), "docs/architecture.md: {}", wrong.join("\n"));
}

#[test]
fn no_file_names_a_path_of_this_machine() {
    // A path that only one machine has: where this tree stands now, and where its author's programs are.
    let mut paths = vec![root().display().to_string()];
    paths.extend(option_env!("CARGO").map(str::to_owned));
    paths.extend(std::env::var("HOME").ok().filter(|h| h.starts_with("/home/") && !root().ends_with("home")));
    let text_file = |p: &Path| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        !name.starts_with(".git") || name == ".gitignore"
    };
    let mut wrong = Vec::new();
    for file in files_below(root(), &text_file) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for path in paths.iter().filter(|p| p.len() > 6 && text.contains(p.as_str())) {
            wrong.push(format!("{} contains `{path}`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let text = "fn a() { \"crate::x {\"; '{'; /* crate::y */ b'\\''; r#\"crate::z \"#; }\n// crate::w\nfn b<'a>(x: &'a u8) {}\n\
                use crate::{base::{A, B}, image, sys::fs};\n#[cfg(test)]\nmod tests { fn c() { crate::cli::x(); } }\n";
    let source = Source { path: "src/x/y.rs".to_owned(), text: text.to_owned(), code: without_tests(&blank(text)) };
    let names: Vec<String> = named_modules(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["base", "image", "sys"]);
    assert_eq!(functions(&source), [("a".to_owned(), 1, 1), ("b".to_owned(), 3, 1)]);
    assert_eq!(source.module(), "x");
}
