//! Go's `printf` for the verbs that make sense of JSON values: `%v %s %q %d %t %x %X %o %b %f %e %g %c %T %%`, with the flags
//! `- + 0 # space`, a width and a precision.

use super::value::{json, print, type_name};
use serde_json::Value;

/// The widest padding; a width comes from the command line.
const MAX_WIDTH: usize = 1000;

#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats `arguments` by `format`; mistakes are shown in the output, as Go does.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut output = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            output.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | '#' | ' ')) {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                _ => {}
            }
        }
        spec.width = digits(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut chars));
        }
        match chars.next() {
            None => output.push_str("%!(NOVERB)"),
            Some('%') => output.push('%'),
            Some(verb) => match arguments.next() {
                None => output.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => output.push_str(&padded(&spec, verb, value)),
            },
        }
    }
    let extra: Vec<String> = arguments.map(|v| format!("{}={}", type_name(v), print(v))).collect();
    if !extra.is_empty() {
        output.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    output
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut number = 0usize;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        number = (number * 10 + digit.to_digit(10).map_or(0, |d| d as usize)).min(MAX_WIDTH);
    }
    number
}

fn padded(spec: &Spec, verb: char, value: &Value) -> String {
    let Some(text) = one(spec, verb, value) else {
        return format!("%!{verb}({}={})", type_name(value), print(value));
    };
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.left {
        return text + &" ".repeat(missing);
    }
    if spec.zero && value.is_number() {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    " ".repeat(missing) + &text
}

/// `None` when the verb does not fit the value.
fn one(spec: &Spec, verb: char, value: &Value) -> Option<String> {
    let cut = |text: String| match spec.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    let integer = || value.as_i64();
    let float = || value.as_f64();
    let decimals = spec.precision.unwrap_or(6);
    let signed = |text: String| if spec.plus && !text.starts_with('-') { format!("+{text}") } else { text };
    Some(match verb {
        'v' => print(value),
        's' if !value.is_number() && !value.is_boolean() => cut(print(value)),
        'q' => json(value.as_str().map(|_| value)?),
        'd' => signed(integer()?.to_string()),
        't' => value.as_bool()?.to_string(),
        'T' => type_name(value).to_owned(),
        'c' => u32::try_from(integer()?).ok().and_then(char::from_u32)?.to_string(),
        'x' | 'X' => {
            let hex = match value {
                Value::String(s) => s.bytes().map(|b| format!("{b:02x}")).collect(),
                _ => radix(integer()?, |n| format!("{n:x}")),
            };
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        'o' => radix(integer()?, |n| format!("{n:o}")),
        'b' => radix(integer()?, |n| format!("{n:b}")),
        'f' | 'F' => signed(format!("{:.decimals$}", float()?)),
        'e' => format!("{:.decimals$e}", float()?),
        'g' => signed(float()?.to_string()),
        _ => return None,
    })
}

/// Go prints the sign and then the digits of the absolute value.
fn radix(number: i64, digits: impl Fn(u64) -> String) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, digits(number.unsigned_abs()))
}
