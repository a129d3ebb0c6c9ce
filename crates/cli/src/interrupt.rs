//! Ctrl-C: where work knows how to stop, the first one asks it to, and the second one kills; before
//! that (while a model is fetched or loaded) the first one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;
use crate::output;

static STOP: AtomicBool = AtomicBool::new(false);

/// Whether somebody looks at [`STOP`].
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// Installs the handler; the flag that it sets is handed to every long piece of work, which calls
/// [`watch`] when it begins to look at it.
pub(crate) fn install() -> &'static AtomicBool {
    // A failure only means that Ctrl-C kills at once, as it does by default.
    let _ = ctrlc::set_handler(|| {
        let is_second = STOP.swap(true, Ordering::SeqCst);
        if is_second || !IS_WATCHED.load(Ordering::SeqCst) {
            let error =
                CliError::interrupted("run the same command again: what has arrived is kept");
            output::talk(&error.to_string());
            #[expect(
                clippy::exit,
                reason = "nobody looks at the flag, or the user insists; finished work is on disk"
            )]
            std::process::exit(i32::from(error.exit_code));
        }
    });
    &STOP
}

/// From here on the flag is looked at.
pub(crate) fn watch() {
    IS_WATCHED.store(true, Ordering::SeqCst);
}
