//! Ctrl-C: the first one asks the work to stop at the next safe place, the second one kills.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Exit status of a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// Installs the handler; the flag that it sets is handed to every long piece of work.
pub(crate) fn install() -> &'static AtomicBool {
    // A failure only means that Ctrl-C kills at once, as it does by default.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            #[expect(
                clippy::exit,
                reason = "the user insists; finished work is already on disk"
            )]
            std::process::exit(INTERRUPTED);
        }
    });
    &STOP
}
