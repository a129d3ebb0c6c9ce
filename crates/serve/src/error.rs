//! What a client reads when a request is refused, and why a server cannot run.

use isogloss_model::BackendError;
use isogloss_record::Explain;
use serde_json::json;

/// Why a server ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The operating system gives no random bytes.
    #[error("cannot make a random token: {0}")]
    Random(String),
    /// The socket cannot be used.
    #[error("cannot accept connections")]
    Socket(#[from] std::io::Error),
}

impl Explain for ServeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Random(_) => Some("give a token of your own with `--token`".into()),
            Self::Socket(_) => Some("give another `--host` or `--port`".into()),
        }
    }
}

/// A refusal, in the shape of the OpenAI API: status, sentence, the field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
    pub(crate) hint: Option<String>,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            hint: None,
            retry_after: None,
        }
    }

    /// A field of the body with a value that cannot be.
    pub(crate) fn field(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::new(400, message)
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Too much at once: the same request may be sent again after a second.
    pub(crate) fn busy(status: u16, message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(status, message)
        }
    }

    pub(crate) fn stopping() -> Self {
        Self::busy(503, "the server is stopping")
    }

    /// What the model says about a request.
    pub(crate) fn of_model(error: &BackendError) -> Self {
        let status = match error {
            BackendError::Invalid(_)
            | BackendError::TooLong { .. }
            | BackendError::Uncuttable { .. }
            | BackendError::TooLarge { .. }
            | BackendError::TwoBos { .. }
            | BackendError::Unsupported { .. }
            // A template that refuses a dialogue.
            | BackendError::Failed { .. } => 400,
            BackendError::NotFinite { .. } => 500,
            BackendError::Canceled => return Self::stopping(),
        };
        Self {
            hint: error.hint(),
            ..Self::new(status, error.to_string())
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let kind = match self.status {
            401 => "authentication_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let mut error = json!({
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.status,
        });
        if let Some(hint) = &self.hint {
            error["hint"] = hint.as_str().into();
        }
        json!({ "error": error }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_json_object() {
        let error = ApiError::field("prompt", "กขค \"x\"").hint("do y");
        let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
        assert_eq!(
            body,
            json!({"error": {
                "message": "กขค \"x\"", "type": "invalid_request_error",
                "param": "prompt", "code": 400, "hint": "do y",
            }})
        );
    }
}
