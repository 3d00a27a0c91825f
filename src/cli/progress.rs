//! What is seen of a pull: bars on a terminal, lines elsewhere, warnings always. Everything goes to stderr, so that a command's
//! answer on stdout stays alone.
//!
//! No thread is started for drawing: a pull forks after its progress exists.

use super::config::{Config, Verbosity};
use crate::base::progress::{Event, Progress};
use crate::base::units::human_size;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// The right kind of progress for this invocation.
pub(crate) fn choose(config: &Config, quiet: bool) -> Arc<dyn Progress> {
    let quiet = quiet || config.verbosity == Verbosity::Error;
    let warnings = config.verbosity >= Verbosity::Warn;
    if !quiet && config.draws_progress() { Arc::new(Bars::new()) } else { Arc::new(Lines { quiet, warnings }) }
}

/// `sha256:0123456789abcdef…` as `0123456789ab`.
fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// One line per event.
struct Lines {
    quiet: bool,
    warnings: bool,
}

impl Progress for Lines {
    fn event(&self, event: Event) {
        if let Some(line) = self.line(&event) {
            // A closed stderr is no reason to end a pull.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

impl Lines {
    fn line(&self, event: &Event) -> Option<String> {
        match event {
            Event::Warning(text) => self.warnings.then(|| format!("runr: warning: {text}")),
            _ if self.quiet => None,
            Event::LayerStarted { digest, total } => {
                Some(format!("{}: pulling, {}", short(digest), human_size(*total)))
            }
            // Nothing is fetched: to a script this is a start like any other.
            Event::LayerProgress { .. } | Event::UnpackStarted { .. } | Event::UnpackDone { .. } => None,
            Event::LayerExists { digest } => Some(format!("{}: already exists", short(digest))),
            Event::LayerDone { digest } => Some(format!("{}: done", short(digest))),
            Event::Note(text) => Some(text.clone()),
        }
    }
}

/// A bar per layer and one for all of them.
struct Bars {
    multi: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    layers: HashMap<String, ProgressBar>,
    total: Option<ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { multi, state: Mutex::new(State::default()) }
    }

    /// Adds a layer above the total.
    fn add(&self, state: &mut State, digest: &str, total: u64) {
        if let Some(bar) = state.layers.get(digest) {
            bar.set_length(total);
            return;
        }
        let all = state.total.get_or_insert_with(|| self.multi.add(bar(0, "total")));
        let layer = self.multi.insert_before(all, bar(total, short(digest)));
        all.inc_length(total);
        state.layers.insert(digest.to_owned(), layer);
    }

    fn advance(&self, state: &State, digest: &str, done: u64) {
        let Some(layer) = state.layers.get(digest) else { return };
        layer.set_position(done);
        if let Some(all) = &state.total {
            all.set_position(state.layers.values().map(ProgressBar::position).sum());
        }
    }

    /// Writes a line above the bars.
    fn line(&self, text: &str) {
        self.multi.suspend(|| {
            // A closed stderr is no reason to end a pull.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        });
    }

    fn done(&self, state: &State, digest: &str, word: &'static str) {
        let Some(layer) = state.layers.get(digest) else { return };
        self.advance(state, digest, layer.length().unwrap_or(0));
        layer.finish_with_message(word);
    }
}

impl Progress for Bars {
    fn event(&self, event: Event) {
        // A panic of another thread while it drew leaves the bars usable.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::LayerStarted { digest, total } | Event::UnpackStarted { digest, total } => {
                self.add(&mut state, &digest, total);
            }
            Event::LayerProgress { digest, done } => self.advance(&state, &digest, done),
            Event::LayerExists { digest } => {
                self.add(&mut state, &digest, 0);
                self.done(&state, &digest, "already exists");
            }
            Event::LayerDone { digest } | Event::UnpackDone { digest } => self.done(&state, &digest, "done"),
            Event::Note(text) => self.line(&text),
            Event::Warning(text) => self.line(&format!("runr: warning: {text}")),
        }
    }

    fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { layers, total } = std::mem::take(&mut *state);
        if total.is_none() {
            // Nothing is drawn. Clearing all the same takes away a line that somebody else has written since.
            return;
        }
        // The bars go: what is left on the terminal is what the command says.
        drop(self.multi.clear());
        layers.into_values().chain(total).for_each(|bar| self.multi.remove(&bar));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(total: u64, name: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:12} {bar:30} {decimal_bytes:>10} of {decimal_total_bytes:<10} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_prefix(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_each_thing_once() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let loud = Lines { quiet: false, warnings: true };
        let quiet = Lines { quiet: true, warnings: true };
        for (event, line, always) in [
            (Event::LayerStarted { digest: digest.clone(), total: 1500 }, Some("abababababab: pulling, 1.5kB"), false),
            (Event::LayerProgress { digest: digest.clone(), done: 5 }, None, false),
            (Event::LayerExists { digest: digest.clone() }, Some("abababababab: already exists"), false),
            (Event::UnpackStarted { digest: digest.clone(), total: 1500 }, None, false),
            (Event::UnpackDone { digest: digest.clone() }, None, false),
            (Event::LayerDone { digest }, Some("abababababab: done"), false),
            (Event::Note("x".into()), Some("x"), false),
            (Event::Warning("w".into()), Some("runr: warning: w"), true),
        ] {
            assert_eq!(loud.line(&event).as_deref(), line);
            assert_eq!(quiet.line(&event).as_deref(), if always { line } else { None });
        }
    }

    #[test]
    fn bars_take_events_in_any_order() {
        let bars =
            Bars { multi: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), state: Mutex::default() };
        let digest = || "sha256:0123456789abcdef".to_owned();
        bars.event(Event::LayerDone { digest: digest() });
        bars.event(Event::LayerProgress { digest: digest(), done: 1 });
        bars.event(Event::LayerStarted { digest: digest(), total: 10 });
        bars.event(Event::LayerStarted { digest: digest(), total: 10 });
        bars.event(Event::LayerProgress { digest: digest(), done: 4 });
        let state = bars.state.lock().unwrap();
        assert_eq!(state.total.as_ref().map(|t| (t.position(), t.length())), Some((4, Some(10))));
    }
}
