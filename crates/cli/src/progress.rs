//! Progress with an estimate of the time left: on a terminal only, silent otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What the bar counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Bytes of a download.
    Bytes,
    /// Tokens of model work.
    Tokens,
    /// Sequences of a training.
    Sequences,
}

/// A bar over `total` units; hidden where stderr is not a terminal or `quiet` is set.
pub(crate) fn bar(total: u64, unit: Unit, quiet: bool) -> ProgressBar {
    let target = if quiet || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let template = match unit {
        Unit::Bytes => "{msg} {wide_bar} {bytes}/{total_bytes} {eta} left",
        Unit::Sequences => "{msg} {wide_bar} {human_pos}/{human_len} sequences {eta} left",
        Unit::Tokens => "{msg} {wide_bar} {human_pos}/{human_len} tokens {per_sec} {eta} left",
    };
    let style = ProgressStyle::with_template(template).expect("the templates are constants");
    let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
