//! Names in archives: from hostile bytes to a path that stays below the layer's root, or an error.
//!
//! Names are cleaned by their letters, as docker does: a leading `/` counts for nothing, `a/../b` is `b`, and a name that
//! climbs above the root is refused. What symlinks on the way mean is the kernel's business: the unpacking thread has the
//! layer as its `/`.

use super::limits::Limits;
use crate::base::{Error, Result};
use crate::store::layers::escape;

/// Cleans `raw`; the root itself is the empty name.
pub(super) fn clean(raw: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let refuse = |why: String| Err(Error::corrupt(format!("name `{}` {why}", show(raw))));
    if raw.contains(&0) {
        return refuse("contains a NUL byte".to_owned());
    }
    if raw.len() > limits.max_name.saturating_add(1) {
        return refuse(format!("has {} bytes; at most {} are possible", raw.len(), limits.max_name));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in raw.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return refuse("leads outside the layer".to_owned());
                }
            }
            _ if part.len() > 255 => {
                return refuse(format!("has a component of {} bytes; at most 255 are possible", part.len()));
            }
            _ => parts.push(part),
        }
    }
    if parts.len() > limits.max_depth {
        return refuse(format!("has {} components; at most {} are allowed", parts.len(), limits.max_depth));
    }
    Ok(parts.join(&b'/'))
}

/// The parent and the last component of a cleaned name; the parent of a name at the top is the empty name.
pub(super) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (&[], name),
    }
}

/// A cleaned name as something system calls take: the root is `.`.
pub(super) fn path(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"." } else { name }
}

/// A name for an error message, cut when somebody made it long on purpose.
pub(super) fn show(raw: &[u8]) -> String {
    const MOST: usize = 120;
    if raw.len() <= MOST { escape(raw) } else { format!("{}…", escape(&raw[..MOST])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_as_docker_does() {
        let limits = Limits::default();
        for (raw, name) in [
            (&b"a"[..], &b"a"[..]),
            (b"./a//b/", b"a/b"),
            (b"/etc/passwd", b"etc/passwd"),
            (b"a/../b/./c", b"b/c"),
            (b"./", b""),
            (b"/", b""),
            (b"", b""),
            (b"...", b"..."),
        ] {
            assert_eq!(clean(raw, &limits).unwrap(), name);
        }
        let deep = "a/".repeat(600);
        let long = "x".repeat(10_000);
        for (raw, text) in [
            ("..", "name `..` leads outside the layer"),
            ("a/../../b", "name `a/../../b` leads outside the layer"),
            ("/..", "name `/..` leads outside the layer"),
            ("a\0b", "name `a\\u{0}b` contains a NUL byte"),
            (&deep[..], "has 600 components; at most 512 are allowed"),
            (&long[..], "has 10000 bytes; at most 4095 are possible"),
            (&long[..300], "has a component of 300 bytes; at most 255 are possible"),
        ] {
            let e = clean(raw.as_bytes(), &limits).unwrap_err().to_string();
            assert!(e.ends_with(text), "{e}");
            assert!(e.len() < 250, "{e}");
        }
    }

    #[test]
    fn splits() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
    }

    proptest::proptest! {
        #[test]
        fn a_clean_name_never_climbs(raw in proptest::collection::vec(proptest::sample::select(&b"./a\0"[..]), 0..40)) {
            if let Ok(name) = clean(&raw, &Limits::default()) {
                let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
                assert!(name.is_empty() || !name.split(|b| *b == b'/').any(bad));
            }
        }
    }
}
