//! What a user reads when something fails: one sentence, details, one hint.

use std::fmt;

use isogloss_record::Explain;

/// An error on its way to the terminal.
///
/// Printed as `error: <sentence>` on one line, then its causes and details, then one `hint:`.
#[derive(Debug)]
pub(crate) struct CliError {
    sentence: String,
    details: Vec<String>,
    hint: Option<String>,
    pub(crate) exit_code: u8,
}

pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// The hint of an error that has none of its own.
const USUAL_HINT: &str = "`isogloss help COMMAND` says what can be given, with an example";

/// Exit status of arguments that cannot be understood.
const USAGE: u8 = 2;

/// Exit status of a run that the user stopped, as shells report an interrupt.
const INTERRUPTED: u8 = 130;

/// Exit status of a survey in which some models failed and the others' results are whole.
const SOME_FAILED: u8 = 3;

impl CliError {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        // An error is exactly one line: what follows a line break is detail.
        let mut lines = sentence.lines().map(str::to_owned);
        Self {
            sentence: lines.next().unwrap_or_default(),
            details: lines.collect(),
            hint: None,
            exit_code: 1,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Arguments that cannot be understood, in the words of their parser.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let rendered = error.render().to_string();
        let mut lines = rendered.lines().map(str::trim_end);
        let sentence = lines.next().unwrap_or_default();
        let details = lines
            .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
            .map(|line| line.trim_start().to_owned())
            .collect();
        Self {
            exit_code: USAGE,
            details,
            ..Self::new(sentence.trim_start_matches("error: "))
        }
    }

    /// Of several models some failed, each with its reason; the others' results are written.
    pub(crate) fn some_failed(n: usize, n_models: usize, reasons: &[String]) -> Self {
        Self {
            exit_code: SOME_FAILED,
            details: reasons.to_vec(),
            ..Self::new(format!(
                "{n} of {n_models} models failed; the others' results are whole"
            ))
            .hint("run the same command again: what is answered is kept, so only the rest is asked")
        }
    }

    /// The user pressed Ctrl-C; what is finished is kept.
    pub(crate) fn interrupted(hint: &str) -> Self {
        Self {
            exit_code: INTERRUPTED,
            ..Self::new("interrupted").hint(hint)
        }
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        let mut cli = Self::new(error.to_string());
        let mut shown = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors already repeat their cause in their own sentence.
            if !shown.contains(&text) {
                cli.details.push(format!("cause: {text}"));
                shown = text;
            }
            source = cause.source();
        }
        cli.hint = error.hint();
        cli
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.sentence)?;
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        write!(
            f,
            "\n\nhint: {}",
            self.hint.as_deref().unwrap_or(USUAL_HINT)
        )
    }
}
