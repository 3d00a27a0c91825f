//! The hosts file (hosts(5)): `address name [alias…]`, `#` begins a comment.

use std::net::IpAddr;

/// The addresses that `text` gives `name` (lower case, no final dot), in the file's order, without repeats. Lines that
/// make no sense are skipped, as the C library does.
pub fn lookup(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let named = words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name));
        if named && !found.contains(&address) && found.len() < super::MAX_ADDRESSES {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_line_with_the_name_counts() {
        let text = "127.0.0.1 localhost\n# 9.9.9.9 db\n10.0.0.1\tDB db.example.  # 10.0.0.9 db2\n\
                    ::1 db\n10.0.0.1 db\nnonsense db\n10.0.0.2db\n10.0.0.3";
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(lookup(text, "db"), ips(&["10.0.0.1", "::1"]));
        assert_eq!(lookup(text, "db.example"), ips(&["10.0.0.1"]));
        assert_eq!(lookup(text, "db2"), ips(&[]));
        assert_eq!(lookup(text, ""), ips(&[]));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,200}", name in "[a-z.]{0,5}") {
            drop(lookup(&text, &name));
        }
    }
}
