//! The words behind `top CONTAINER`, read as columns: podman's descriptors and codes, or options of `ps`.

use super::field::Field;
use crate::base::{Error, Result};

/// One column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    pub(super) field: Field,
}

/// podman's descriptors: name, code of `ps -o`, title, what they show.
pub(super) const DESCRIPTORS: [(&str, &str, &str, Field); 31] = [
    ("args", "%a", "COMMAND", Field::Arguments),
    ("capamb", "", "AMBIENT CAPS", Field::Capabilities(4)),
    ("capbnd", "", "BOUNDING CAPS", Field::Capabilities(3)),
    ("capeff", "", "EFFECTIVE CAPS", Field::Capabilities(2)),
    ("capinh", "", "INHERITED CAPS", Field::Capabilities(0)),
    ("capprm", "", "PERMITTED CAPS", Field::Capabilities(1)),
    ("comm", "%c", "COMMAND", Field::Program),
    ("etime", "%t", "ELAPSED", Field::GoAge),
    ("group", "%G", "GROUP", Field::Group),
    ("groups", "", "GROUPS", Field::Groups),
    ("hgroup", "", "HGROUP", Field::HostGroup),
    ("hgroups", "", "HGROUPS", Field::HostGroups),
    ("hpid", "", "HPID", Field::HostPid),
    ("huser", "", "HUSER", Field::HostUser),
    ("label", "", "LABEL", Field::Label),
    ("nice", "%n", "NI", Field::Nice),
    ("pcpu", "%C", "%CPU", Field::Cpu(3)),
    ("pgid", "%r", "PGID", Field::ProcessGroup),
    ("pid", "%p", "PID", Field::Pid),
    ("ppid", "%P", "PPID", Field::Parent),
    ("rgroup", "%g", "RGROUP", Field::RealGroup),
    ("rss", "", "RSS", Field::Resident),
    ("ruser", "%u", "RUSER", Field::RealUser),
    ("seccomp", "", "SECCOMP", Field::Seccomp),
    ("state", "", "STATE", Field::State),
    ("stime", "", "STIME", Field::GoStart),
    ("time", "%x", "TIME", Field::GoTime),
    ("tty", "%y", "TTY", Field::Terminal),
    ("user", "%U", "USER", Field::User),
    ("vsz", "%z", "VSZ", Field::Virtual),
    ("hpgid", "", "HPGID", Field::HostProcessGroup),
];

/// The columns of `ps -o`: names, title, what they show.
const PS: [(&[&str], &str, Field); 41] = [
    (&["pid", "tgid"], "PID", Field::Pid),
    (&["ppid"], "PPID", Field::Parent),
    (&["pgid"], "PGID", Field::ProcessGroup),
    (&["pgrp"], "PGRP", Field::ProcessGroup),
    (&["sid"], "SID", Field::Session),
    (&["sess", "session"], "SESS", Field::Session),
    (&["user", "uname"], "USER", Field::User),
    (&["euser"], "EUSER", Field::User),
    (&["uid"], "UID", Field::Uid),
    (&["euid"], "EUID", Field::Uid),
    (&["ruser"], "RUSER", Field::RealUser),
    (&["ruid"], "RUID", Field::RealUid),
    (&["group"], "GROUP", Field::Group),
    (&["egroup"], "EGROUP", Field::Group),
    (&["gid"], "GID", Field::Gid),
    (&["egid"], "EGID", Field::Gid),
    (&["rgroup"], "RGROUP", Field::RealGroup),
    (&["rgid"], "RGID", Field::RealGid),
    (&["comm", "ucomm"], "COMMAND", Field::Program),
    (&["ucmd"], "CMD", Field::Program),
    (&["args", "command"], "COMMAND", Field::Arguments),
    (&["cmd"], "CMD", Field::Arguments),
    (&["pcpu", "%cpu"], "%CPU", Field::Cpu(1)),
    (&["c"], "C", Field::Cpu(0)),
    (&["pmem", "%mem"], "%MEM", Field::Memory),
    (&["vsz", "vsize"], "VSZ", Field::Virtual),
    (&["rss", "rssize", "rsz"], "RSS", Field::Resident),
    (&["tty", "tname"], "TTY", Field::Terminal),
    (&["tt"], "TT", Field::Terminal),
    (&["stat"], "STAT", Field::LongState),
    (&["s", "state"], "S", Field::State),
    (&["stime"], "STIME", Field::Start),
    (&["start", "start_time", "bsdstart"], "START", Field::Start),
    (&["lstart"], "STARTED", Field::LongStart),
    (&["time", "cputime"], "TIME", Field::Time),
    (&["etime"], "ELAPSED", Field::Age),
    (&["etimes"], "ELAPSED", Field::AgeSeconds),
    (&["ni", "nice"], "NI", Field::Nice),
    (&["nlwp"], "NLWP", Field::Threads),
    (&["thcount"], "THCNT", Field::Threads),
    (&["label"], "LABEL", Field::Label),
];

/// Reads the words; none give podman's usual columns.
pub(super) fn parse(words: &[String]) -> Result<Vec<Column>> {
    if words.iter().any(|w| w.starts_with('-') && w.len() > 1) || words.first().is_some_and(|w| is_bsd(w)) {
        return ps(words);
    }
    let list: Vec<&str> = words.iter().flat_map(|w| w.split([',', ' '])).filter(|w| !w.is_empty()).collect();
    let list = if list.is_empty() { vec!["user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"] } else { list };
    list.into_iter().map(descriptor).collect()
}

fn descriptor(word: &str) -> Result<Column> {
    let found = DESCRIPTORS.iter().find(|(name, code, ..)| *name == word || (!code.is_empty() && *code == word));
    let (.., title, field) = found.ok_or_else(|| {
        let names = DESCRIPTORS.map(|(name, ..)| name).join(", ");
        Error::usage(format!("top: unknown descriptor `{word}`")).hint(format!("use options of ps, or {names}"))
    })?;
    Ok(Column { title: (*title).to_owned(), field: *field })
}

/// `aux`, `axo`: options of ps without a dash, and no descriptor.
fn is_bsd(word: &str) -> bool {
    let letters = word.strip_suffix('o').unwrap_or(word);
    !word.is_empty() && letters.chars().all(|c| "axuweflj".contains(c)) && descriptor(word).is_err()
}

/// What options of ps have said so far.
#[derive(Default)]
struct Options {
    /// Names of columns for `-o`.
    chosen: Vec<Column>,
    /// The list that a letter stands for.
    layout: Option<&'static str>,
    no_head: bool,
}

fn ps(words: &[String]) -> Result<Vec<Column>> {
    let mut options = Options::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut rest = match word {
            "--no-headers" | "--no-heading" | "--no-headings" => {
                options.no_head = true;
                continue;
            }
            _ if word.starts_with("--format=") => {
                options.chosen.extend(list(&word["--format=".len()..])?);
                continue;
            }
            "--format" => "o",
            // procps takes `-aux` for `aux`, whatever POSIX says.
            "-aux" | "-auxw" | "-auxww" => "aux",
            _ => word,
        };
        let dashed = rest.starts_with('-');
        rest = rest.strip_prefix('-').unwrap_or(rest);
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            match letter {
                'o' => {
                    let names = if rest.is_empty() { words.next().unwrap_or("") } else { rest };
                    options.chosen.extend(list(names)?);
                    break;
                }
                letter => options.letter(letter, dashed, word)?,
            }
        }
    }
    let mut columns = match (options.chosen.is_empty(), options.layout) {
        (false, _) => options.chosen,
        (true, layout) => list(layout.unwrap_or("pid,tty,time,cmd"))?,
    };
    if options.no_head {
        columns.iter_mut().for_each(|c| c.title.clear());
    }
    Ok(columns)
}

impl Options {
    fn letter(&mut self, letter: char, dashed: bool, word: &str) -> Result<()> {
        match (letter, dashed) {
            // Which processes: always those of the container. How wide: as wide as they are.
            ('e' | 'A' | 'a' | 'x' | 'd' | 'N' | 'w' | 'H', _) => {}
            ('f', false) => {}
            ('f', true) => self.layout = Some("user=UID,pid,ppid,c,stime,tty,time,cmd"),
            ('F', true) => self.layout = Some("user=UID,pid,ppid,c,vsz=SZ,rss,stime,tty,time,cmd"),
            ('u', false) => self.layout = Some("user,pid,pcpu,pmem,vsz,rss,tty,stat,start,time,command"),
            ('l', _) => self.layout = Some("s,uid,pid,ppid,c,ni,vsz=SZ,tty,time,ucmd"),
            ('j', false) => self.layout = Some("ppid,pid,pgid,sid,tty,stat,uid,time,command"),
            ('j', true) => self.layout = Some("pid,pgid,sid,tty,time,ucmd"),
            _ => {
                return Err(Error::usage(format!("top: unknown option of ps `{letter}` in `{word}`"))
                    .hint("use -ef, -eo LIST, aux, or podman's descriptors, such as `pid user args`"));
            }
        }
        Ok(())
    }
}

/// `pid,ppid=PARENT,comm=`: names, each with a title of its own if it has one.
fn list(text: &str) -> Result<Vec<Column>> {
    let columns: Result<Vec<Column>> = text.split([',', ' ']).filter(|w| !w.is_empty()).map(ps_column).collect();
    let columns = columns?;
    if columns.is_empty() {
        return Err(Error::usage("top: `-o` needs names of columns").hint("for example `-eo pid,user,args`"));
    }
    Ok(columns)
}

fn ps_column(word: &str) -> Result<Column> {
    let (name, title) = word.split_once('=').map_or((word, None), |(name, title)| (name, Some(title)));
    let found = PS.iter().find(|(names, ..)| names.contains(&name.to_ascii_lowercase().as_str()));
    let by_code = || DESCRIPTORS.iter().find(|(_, code, ..)| *code == name).map(|(.., title, field)| (*title, *field));
    let (usual, field) = found.map(|(_, title, field)| (*title, *field)).or_else(by_code).ok_or_else(|| {
        let names: Vec<&str> = PS.iter().map(|(names, ..)| names[0]).collect();
        Error::usage(format!("top: unknown column of ps `{name}`")).hint(format!("use {}", names.join(", ")))
    })?;
    Ok(Column { title: title.unwrap_or(usual).to_owned(), field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn titles(text: &str) -> String {
        let words: Vec<String> = text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        match parse(&words) {
            Ok(columns) => columns.into_iter().map(|c| c.title).collect::<Vec<_>>().join(" "),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn words_are_columns() {
        for (words, expected) in [
            ("", "USER PID PPID %CPU ELAPSED TTY TIME COMMAND"),
            ("pid user args", "PID USER COMMAND"),
            ("pid,user hpid", "PID USER HPID"),
            ("%U,%C", "USER %CPU"),
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-eo pid,user,comm", "PID USER COMMAND"),
            ("-e -o pid -o cmd", "PID CMD"),
            ("axo pid,stat", "PID STAT"),
            ("-opid", "PID"),
            ("-o pid=,comm=NAME", " NAME"),
            ("--format=pid,ppid", "PID PPID"),
            ("-e", "PID TTY TIME CMD"),
            ("--no-headers -o pid", ""),
            ("foo", "top: unknown descriptor `foo`"),
            ("pid shiny", "top: unknown descriptor `shiny`"),
            ("-eo shiny", "top: unknown column of ps `shiny`"),
            ("-eo", "top: `-o` needs names of columns"),
            ("-Z", "top: unknown option of ps `Z` in `-Z`"),
        ] {
            assert_eq!(titles(words), expected, "{words}");
        }
    }

    proptest! {
        #[test]
        fn nothing_typed_makes_it_panic(words in proptest::collection::vec("[-a-zA-Z=,% é]{0,12}", 0..4)) {
            drop(parse(&words));
        }
    }
}
