//! The keys that leave a container to itself while its terminal is attached: docker's `ctrl-p,ctrl-q`.

/// Looks for the keys in what is typed. A beginning of them is held back until the next byte tells what it was.
#[derive(Debug, Clone, Default)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// No keys: nothing detaches.
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of `typed` goes to the container, and whether the keys were complete: then the rest goes nowhere.
    pub(super) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (passed, true);
                }
                continue;
            }
            // What was held back was no beginning after all; the byte may be one itself.
            passed.extend(&self.keys[..self.matched]);
            self.matched = usize::from(*byte == self.keys[0]);
            if self.matched == 0 {
                passed.push(*byte);
            } else if self.keys.len() == 1 {
                self.matched = 0;
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_across_pieces_and_nothing_is_lost() {
        for (keys, pieces, passed, hit) in [
            ("pq", &["apq"][..], "a", true),
            ("pq", &["ap", "q"], "a", true),
            ("pq", &["ap", "x"], "apx", false),
            ("pq", &["pp", "q"], "p", true),
            ("", &["pq"], "pq", false),
            ("x", &["axb"], "a", true),
            ("pq", &["p"], "", false),
        ] {
            let mut detach = DetachKeys::new(keys.as_bytes().to_vec());
            let (mut all, mut found) = (Vec::new(), false);
            for piece in pieces {
                let (bytes, end) = detach.filter(piece.as_bytes());
                all.extend(bytes);
                found |= end;
            }
            assert_eq!((String::from_utf8(all).unwrap().as_str(), found), (passed, hit), "{keys} {pieces:?}");
        }
    }
}
