//! Words of an instruction, as docker's builder reads them: separated by blanks, with single and double quotes, backslashes,
//! and variables of the image's environment in `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`.

use crate::base::{Error, Result};
use std::iter::Peekable;
use std::str::Chars;

/// The words of `text`.
pub(super) fn words(text: &str, env: &[String]) -> Result<Vec<String>> {
    let mut reader = Reader { rest: text.chars().peekable(), env };
    let mut words = Vec::new();
    while let Some(word) = reader.word(true)? {
        words.push(word);
    }
    Ok(words)
}

/// All of `text` as one word.
pub(super) fn expand(text: &str, env: &[String]) -> Result<String> {
    let mut reader = Reader { rest: text.chars().peekable(), env };
    Ok(reader.word(false)?.unwrap_or_default())
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    env: &'a [String],
}

impl Reader<'_> {
    /// The next word; blanks end it if `split`.
    fn word(&mut self, split: bool) -> Result<Option<String>> {
        while split && self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        if self.rest.peek().is_none() {
            return Ok(None);
        }
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| !split || !c.is_whitespace()) {
            match c {
                '\'' => self.single(&mut word)?,
                '"' => self.double(&mut word)?,
                // At the end it stands for itself.
                '\\' => word.push(self.rest.next().unwrap_or('\\')),
                '$' => self.variable(&mut word)?,
                _ => word.push(c),
            }
        }
        Ok(Some(word))
    }

    fn single(&mut self, word: &mut String) -> Result<()> {
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(c) => word.push(c),
                None => return Err(open_quote()),
            }
        }
    }

    fn double(&mut self, word: &mut String) -> Result<()> {
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('\\') => match self.rest.next() {
                    Some(c @ ('"' | '$' | '\\')) => word.push(c),
                    Some(c) => word.extend(['\\', c]),
                    None => return Err(open_quote()),
                },
                Some('$') => self.variable(word)?,
                Some(c) => word.push(c),
                None => return Err(open_quote()),
            }
        }
    }

    /// Behind a `$`.
    fn variable(&mut self, word: &mut String) -> Result<()> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if !braced {
            if name.is_empty() {
                word.push('$')
            } else {
                word.push_str(self.value(&name).unwrap_or_default())
            }
            return Ok(());
        }
        let bad = || Error::usage("a variable is not of the form ${NAME}, ${NAME:-WORD} or ${NAME:+WORD}");
        if name.is_empty() {
            return Err(bad());
        }
        let set = self.value(&name).filter(|v| !v.is_empty()).map(str::to_owned);
        match self.rest.next() {
            Some('}') => word.push_str(self.value(&name).unwrap_or_default()),
            Some(':') => {
                let kind = self.rest.next();
                let mut other = String::new();
                loop {
                    match self.rest.next().ok_or_else(bad)? {
                        '}' => break,
                        c => other.push(c),
                    }
                }
                match kind {
                    Some('-') => word.push_str(&set.unwrap_or(other)),
                    Some('+') => word.push_str(if set.is_some() { &other } else { "" }),
                    _ => return Err(bad()),
                }
            }
            _ => return Err(bad()),
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

fn open_quote() -> Error {
    Error::usage("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_variables() {
        let env = ["A=1".to_owned(), "EMPTY=".to_owned()];
        for (text, expected) in [
            ("a b\t c", &["a", "b", "c"][..]),
            ("a\\ b 'c d' \"e f\"", &["a b", "c d", "e f"]),
            ("k='v w'x", &["k=v wx"]),
            ("$A ${A}2 $AB $ $-", &["1", "12", "", "$", "$-"]),
            ("${EMPTY:-d} ${A:-d} ${A:+o} ${EMPTY:+o}x", &["d", "1", "o", "x"]),
            ("\"$A \\$A \\n\" '$A'", &["1 $A \\n", "$A"]),
            ("''", &[""]),
            ("  ", &[]),
        ] {
            assert_eq!(words(text, &env).unwrap(), expected, "{text}");
        }
        for bad in ["'", "\"", "\"\\", "${", "${}", "${A", "${A:", "${A:?x}", "${A-x}"] {
            assert!(words(bad, &env).is_err(), "{bad}");
        }
        assert_eq!(expand("a  'b' $A", &env).unwrap(), "a  b 1");
    }
}
