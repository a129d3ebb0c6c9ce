//! How an error tells a user what to do next.

/// An error that knows one helpful next step.
///
/// The command line prints the error's sentence as `error: …`, its source chain as details, and
/// this hint as the last line. A hint names a command, a flag, a file or the nearest valid name.
pub trait Explain: std::error::Error {
    /// One sentence, without the leading `hint:`; `None` where nothing useful can be said.
    fn hint(&self) -> Option<String>;
}
