//! Writes the program: the architecture is looked at first, then the call number by binary search over the section's
//! ranges, then the arguments where an outcome depends on them.
//!
//! BPF jumps forward only, and a conditional jump by at most 255 instructions. So the program is written from its end to
//! its start: every target exists when a jump to it is written, and where one is too far a `ret` of the same value or an
//! unconditional jump is put in between.

use super::rules::{BAD_ARCH, Condition, Outcome, Rule, Section, Test};
use libc::sock_filter;

/// Opcodes of linux/filter.h: class, size or operation, mode or source.
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`. Both architectures are little-endian: the low half of an argument comes first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Where control goes.
#[derive(Debug, Clone, Copy)]
enum To {
    /// To a `ret` of this value, wherever one is near.
    Return(u32),
    /// To the instruction at this index of [`Writer::reversed`].
    At(usize),
}

/// The program for these sections.
pub(super) fn program(sections: &[Section]) -> Vec<sock_filter> {
    let mut writer = Writer { reversed: Vec::with_capacity(1024), returns: Vec::new() };
    let starts: Vec<To> = sections.iter().rev().map(|section| writer.section(section)).collect();
    let mut to = To::Return(BAD_ARCH);
    for (section, start) in sections.iter().rev().zip(starts) {
        to = writer.jump(IF_EQUAL, section.audit, start, to);
    }
    writer.load(ARCH, to);
    writer.reversed.reverse();
    writer.reversed
}

struct Writer {
    /// The instructions, last one first.
    reversed: Vec<sock_filter>,
    /// `ret` instructions so far: value, index of the one written last.
    returns: Vec<(u32, usize)>,
}

impl Writer {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> usize {
        self.reversed.push(sock_filter { code, jt, jf, k });
        self.reversed.len() - 1
    }

    /// How many instructions a jump written next would skip to get to `index`.
    fn distance(&self, index: usize) -> usize {
        self.reversed.len() - 1 - index
    }

    /// The index of an instruction at most `limit` away that leads to `to`: a `ret` or a jump is written if there is none.
    fn near(&mut self, to: To, limit: usize) -> usize {
        match to {
            To::At(index) if self.distance(index) <= limit => index,
            To::At(index) => {
                let skip = self.distance(index) as u32;
                self.push(JUMP, 0, 0, skip)
            }
            To::Return(value) => {
                let known = self.returns.iter().find(|(v, _)| *v == value).map(|(_, index)| *index);
                if let Some(index) = known.filter(|index| self.distance(*index) <= limit) {
                    return index;
                }
                let index = self.push(RETURN, 0, 0, value);
                self.returns.retain(|(v, _)| *v != value);
                self.returns.push((value, index));
                index
            }
        }
    }

    /// `if accumulator <code> k { yes } else { no }`.
    fn jump(&mut self, code: u16, k: u32, yes: To, no: To) -> To {
        // Bringing `no` near may write one instruction, which puts `yes` one further away.
        let yes = self.near(yes, 254);
        let no = self.near(no, 255);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        To::At(self.push(code, jt, jf, k))
    }

    /// An instruction that goes on with `next`, which therefore must follow directly.
    fn before(&mut self, code: u16, k: u32, next: To) -> To {
        self.near(next, 0);
        To::At(self.push(code, 0, 0, k))
    }

    /// `accumulator = seccomp_data[offset]`.
    fn load(&mut self, offset: u32, next: To) -> To {
        self.before(LOAD, offset, next)
    }

    fn section(&mut self, section: &Section) -> To {
        let targets: Vec<(u32, To)> =
            section.ranges.iter().map(|(start, outcome)| (*start, self.outcome(outcome))).collect();
        let search = self.search(&targets);
        self.load(NUMBER, search)
    }

    /// Binary search of the accumulator among ranges given by their first value.
    fn search(&mut self, ranges: &[(u32, To)]) -> To {
        match ranges {
            [] => To::Return(BAD_ARCH),
            [(_, to)] => *to,
            _ => {
                let middle = ranges.len() / 2;
                let upper = self.search(&ranges[middle..]);
                let lower = self.search(&ranges[..middle]);
                self.jump(IF_AT_LEAST, ranges[middle].0, upper, lower)
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> To {
        match outcome {
            Outcome::Always(value) => To::Return(*value),
            Outcome::Rules(rules, default) => {
                if let Some(ArgumentRanges { argument, ranges, beyond }) = as_ranges(rules, *default) {
                    let targets: Vec<_> = ranges.into_iter().map(|(start, value)| (start, To::Return(value))).collect();
                    let search = self.search(&targets);
                    let low = self.load(ARGUMENTS + 8 * argument, search);
                    let high = self.jump(IF_EQUAL, 0, low, To::Return(beyond));
                    return self.load(ARGUMENTS + 8 * argument + 4, high);
                }
                rules.iter().rev().fold(To::Return(*default), |no, rule| self.rule(rule, no))
            }
        }
    }

    fn rule(&mut self, rule: &Rule, no: To) -> To {
        rule.conditions.iter().rev().fold(To::Return(rule.action), |yes, condition| self.condition(condition, yes, no))
    }

    fn condition(&mut self, condition: &Condition, yes: To, no: To) -> To {
        let (yes, no) = if condition.negated { (no, yes) } else { (yes, no) };
        let low = ARGUMENTS + 8 * condition.argument;
        let high = low + 4;
        let halves = |value: u64| ((value >> 32) as u32, value as u32);
        match condition.test {
            Test::Eq(value) => {
                let (h, l) = halves(value);
                let last = self.jump(IF_EQUAL, l, yes, no);
                let second = self.load(low, last);
                let first = self.jump(IF_EQUAL, h, second, no);
                self.load(high, first)
            }
            Test::Gt(value) => self.greater(IF_GREATER, value, (low, high), yes, no),
            Test::Ge(value) => self.greater(IF_AT_LEAST, value, (low, high), yes, no),
            Test::Masked { mask, value } => {
                let ((mask_high, mask_low), (h, l)) = (halves(mask), halves(value));
                let last = self.jump(IF_EQUAL, l, yes, no);
                let masked = self.before(AND, mask_low, last);
                let second = self.load(low, masked);
                if (mask_high, h) == (0, 0) {
                    return second;
                }
                let first = self.jump(IF_EQUAL, h, second, no);
                let masked = self.before(AND, mask_high, first);
                self.load(high, masked)
            }
        }
    }

    /// The high halves decide, unless they are equal: then the low halves by `code`.
    fn greater(&mut self, code: u16, value: u64, (low, high): (u32, u32), yes: To, no: To) -> To {
        let (h, l) = ((value >> 32) as u32, value as u32);
        let last = self.jump(code, l, yes, no);
        let second = self.load(low, last);
        let equal = self.jump(IF_EQUAL, h, second, no);
        let first = self.jump(IF_GREATER, h, yes, equal);
        self.load(high, first)
    }
}

/// What [`as_ranges`] makes of rules.
struct ArgumentRanges {
    argument: u32,
    /// Returned values by the first argument value they are for, ascending from 0.
    ranges: Vec<(u32, u32)>,
    /// Returned for what needs more than 32 bits.
    beyond: u32,
}

/// Rules that each test the same single argument, with no value beyond 32 bits, are ranges of that argument. A list of allowed values is then a
/// binary search too, not one comparison after the other.
fn as_ranges(rules: &[Rule], default: u32) -> Option<ArgumentRanges> {
    let argument = rules.first()?.conditions.first()?.argument;
    let mut starts = vec![0u32];
    for rule in rules {
        let [condition] = rule.conditions.as_slice() else { return None };
        if condition.argument != argument {
            return None;
        }
        // The values from which on the answer differs from that of the value before.
        let changes = match condition.test {
            Test::Eq(v) => [v, v.checked_add(1)?],
            Test::Ge(v) => [v, v],
            Test::Gt(v) => [v.checked_add(1)?, 0],
            Test::Masked { .. } => return None,
        };
        for change in changes.into_iter().filter(|v| *v != 1 << 32) {
            starts.push(u32::try_from(change).ok()?);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let value = |at: u64| rules.iter().find(|r| r.conditions[0].holds(at)).map_or(default, |r| r.action);
    let mut ranges: Vec<(u32, u32)> = starts.into_iter().map(|start| (start, value(start.into()))).collect();
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    Some(ArgumentRanges { argument, ranges, beyond: value(1 << 32) })
}
