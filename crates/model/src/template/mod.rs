//! Chat templates: a dialogue to the text that the model was trained on.
//!
//! ```text
//! messages -> ChatTemplate::render -> text (with the template's own BOS) -> crate::encode
//!          -> ChatTemplate::render_dialogue -> text, which bytes are the assistant's
//! ```
//!
//! Templates are Jinja programs that come with a model, so they run without files, network or
//! clock, and with a bounded number of steps and bytes. They see what `transformers` gives them:
//! `messages`, `tools`, `documents`, `add_generation_prompt`, `bos_token`, `eos_token`,
//! `raise_exception`, `strftime_now`, `tojson` without HTML escapes, and Python's string and list
//! methods.
//!
//! The date is a constant ([`ChatTemplate::DATE`]): a prompt that changes over night could not be
//! reproduced.
//!
//! Source: `apply_chat_template` of transformers (`utils/chat_template_utils.py`).

mod assistant;
mod date;
mod json;
mod python;

use std::ops::Range;

use isogloss_record::{Explain, Message};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::{Map, Value, json};

pub use assistant::assistant_tokens;

use crate::tokenizer::Tokenizer;

/// A template that was compiled once.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos_token: String,
    eos_token: String,
}

/// What a template is given, in the words of `apply_chat_template`.
#[derive(Debug, Clone, Default)]
pub struct Dialogue {
    /// Turns: objects with `role`, `content` (a text or a list of parts), `tool_calls`,
    /// `reasoning_content` and what else the template knows. Entries that are `null` are left out.
    pub messages: Vec<Map<String, Value>>,
    /// JSON schemas of functions that the model may call.
    pub tools: Option<Vec<Value>>,
    /// Texts to answer from.
    pub documents: Option<Vec<Value>>,
    /// What follows the last turn.
    pub ending: Ending,
    /// Further variables (`enable_thinking`); they replace those of the same name.
    pub variables: Map<String, Value>,
}

/// What follows the last turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Nothing: the last turn is over.
    #[default]
    Closed,
    /// The beginning of the model's turn (`add_generation_prompt`).
    GenerationPrompt,
    /// The last turn goes on: nothing follows its text (`continue_final_message`).
    ContinueFinal,
}

/// A dialogue as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// BOS is part of it where the template writes it.
    pub text: String,
    /// Bytes of the text that the template marks as the assistant's (`{% generation %}`), in
    /// order, none empty; empty where it marks nothing.
    pub assistant: Vec<Range<usize>>,
}

/// Why a template gave no text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not a program.
    #[error("the chat template cannot be read: {message}")]
    Syntax {
        /// What the parser says, with the line.
        message: String,
    },
    /// It refused the dialogue (`raise_exception`).
    #[error("the chat template refuses the dialogue: {message}")]
    Refused {
        /// The template's own words.
        message: String,
    },
    /// It failed, or ran longer than any template needs.
    #[error("the chat template failed: {message}")]
    Failed {
        /// What happened, with the line.
        message: String,
    },
    /// The last turn cannot be continued.
    #[error("the last turn cannot be continued: {message}")]
    Continue {
        /// Why not.
        message: String,
    },
}

impl Explain for TemplateError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { .. } | Self::Failed { .. } => {
                "give `prompt` instead of `messages`, or replace the model's chat_template".into()
            }
            Self::Refused { .. } => "change the roles or their order as the template says".into(),
            Self::Continue { .. } => "give a last turn with a text that the template shows".into(),
        })
    }
}

/// Instructions that a template may run, or 64 times as many bytes made: a dialogue of a hundred
/// turns needs some ten thousand.
const FUEL: u64 = 5_000_000;
/// Nesting of calls and blocks.
const RECURSION_LIMIT: usize = 100;
/// Bytes of a template: the longest published ones have 30,000. Bounds what the parser keeps.
const N_BYTES_MAX: usize = 1 << 20;
const NAME: &str = "chat_template";
/// Marks the error of `raise_exception`.
const REFUSED: &str = "refused: ";
/// Stands for the end of a turn that goes on, as in transformers: a template that trims its
/// turns trims the space, and so shows that it does.
const CONTINUE: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

impl ChatTemplate {
    /// What `strftime_now` tells: midnight of 1 January 2025 (a Wednesday), UTC.
    pub const DATE: &'static str = "2025-01-01T00:00:00Z";

    /// Compiles a template. `bos_token` and `eos_token` are the texts of these tokens, empty if
    /// the model has none.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, TemplateError> {
        let syntax_error = |error: Error| TemplateError::Syntax {
            message: error.to_string(),
        };
        if source.len() > N_BYTES_MAX {
            return Err(TemplateError::Syntax {
                message: format!(
                    "it has {} bytes, at most {N_BYTES_MAX} are read",
                    source.len()
                ),
            });
        }
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        // Jinja2 drops one line break at a template's end.
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(syntax_error)?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.set_unknown_method_callback(python::unknown_method);
        environment.add_test("iterable", python::is_iterable);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter(assistant::FILTER, assistant::mark);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: &str| date::strftime(format));
        environment
            .add_template_owned(NAME, assistant::with_filter_blocks(source))
            .map_err(syntax_error)?;
        Ok(Self {
            environment,
            source: source.to_owned(),
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// The template of a model's own files; `None` if it has none.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn of(tokenizer: &Tokenizer) -> Result<Option<Self>, TemplateError> {
        Self::named(tokenizer, "default")
    }

    /// As [`ChatTemplate::of`], the template of that name (`tool_use`, `rag`).
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn named(tokenizer: &Tokenizer, name: &str) -> Result<Option<Self>, TemplateError> {
        let Some(source) = tokenizer.chat_templates().get(name) else {
            return Ok(None);
        };
        let (bos_token, eos_token) = tokenizer.bos_eos_texts();
        Self::new(source, bos_token, eos_token).map(Some)
    }

    /// The dialogue as text; with `add_generation_prompt` the beginning of the model's turn
    /// follows. BOS is part of the text where the template writes it.
    ///
    /// # Errors
    /// [`TemplateError::Refused`], [`TemplateError::Failed`].
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let turn = |message: &Message| {
            let (role, content) = (json!(message.role), json!(message.content));
            Map::from_iter([("role".to_owned(), role), ("content".to_owned(), content)])
        };
        let dialogue = Dialogue {
            messages: messages.iter().map(turn).collect(),
            ending: if add_generation_prompt {
                Ending::GenerationPrompt
            } else {
                Ending::Closed
            },
            ..Dialogue::default()
        };
        self.text(&dialogue.messages, &dialogue, "")
    }

    /// The dialogue as text, and which of its bytes are the assistant's. A template that marks
    /// none runs once, another twice.
    ///
    /// # Errors
    /// [`TemplateError::Refused`], [`TemplateError::Failed`], [`TemplateError::Continue`].
    pub fn render_dialogue(&self, dialogue: &Dialogue) -> Result<Rendered, TemplateError> {
        let mut messages = dialogue.messages.clone();
        messages.iter_mut().for_each(complete);
        if dialogue.ending == Ending::ContinueFinal {
            return self.continued(messages, dialogue);
        }
        let text = self.text(&messages, dialogue, "")?;
        let assistant = match self.marks(&messages, dialogue) {
            None => Vec::new(),
            Some(marks) => {
                let marked = self.text(&messages, dialogue, &marks)?;
                assistant::spans(&marked, &marks, &text)?
            }
        };
        Ok(Rendered { text, assistant })
    }

    /// The text up to the end of the last turn's content.
    fn continued(
        &self,
        mut messages: Vec<Map<String, Value>>,
        dialogue: &Dialogue,
    ) -> Result<Rendered, TemplateError> {
        let cannot = |message: &str| TemplateError::Continue {
            message: message.to_owned(),
        };
        let last = messages.last_mut().ok_or_else(|| cannot("there is none"))?;
        let content = match last.get_mut("content") {
            Some(Value::Array(parts)) => {
                let texts = parts
                    .iter_mut()
                    .rev()
                    .filter_map(|part| part.get_mut("text"));
                texts.into_iter().next()
            }
            content => content,
        };
        let Some(Value::String(content)) = content else {
            return Err(cannot("it has no text"));
        };
        let end = content.trim().to_owned();
        content.push_str(CONTINUE);
        let mut text = self.text(&messages, dialogue, "")?;
        match text.rfind(CONTINUE.trim_end()) {
            Some(at) if text.contains(&end) => {
                let keeps_space = text[at..].starts_with(CONTINUE);
                text.truncate(at);
                if !keeps_space {
                    text.truncate(text.trim_end().len());
                }
            }
            _ => return Err(cannot("the chat template does not show its text")),
        }
        Ok(Rendered {
            text,
            assistant: Vec::new(),
        })
    }

    /// Two letters that occur nowhere in template or dialogue, to mark the assistant's words with;
    /// `None` if the template marks nothing.
    fn marks(&self, messages: &[Map<String, Value>], dialogue: &Dialogue) -> Option<String> {
        if !assistant::is_marked(&self.source) {
            return None;
        }
        let Dialogue {
            tools,
            documents,
            variables,
            ..
        } = dialogue;
        let input = json!([messages, tools, documents, variables]).to_string();
        // Noncharacters: no text that is exchanged should hold them.
        let mut free = ('\u{FDD0}'..='\u{FDEF}')
            .filter(|letter| !input.contains(*letter) && !self.source.contains(*letter));
        Some(free.by_ref().take(2).collect())
    }

    /// `marks` is empty, or the two letters around the assistant's words.
    fn text(
        &self,
        messages: &[Map<String, Value>],
        dialogue: &Dialogue,
        marks: &str,
    ) -> Result<String, TemplateError> {
        let own = context! {
            messages => Serde(messages),
            add_generation_prompt => dialogue.ending == Ending::GenerationPrompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => Serde(&dialogue.tools),
            documents => Serde(&dialogue.documents),
        };
        let marks = context! { assistant_marks => marks };
        let given = minijinja::Value::from(Serde(&dialogue.variables));
        self.environment
            .get_template(NAME)
            // The first that has a name wins.
            .and_then(|template| template.render(context! { ..marks, ..given, ..own }))
            .map_err(|error| match error.detail() {
                Some(detail) if detail.starts_with(REFUSED) => TemplateError::Refused {
                    message: detail[REFUSED.len()..].to_owned(),
                },
                _ => TemplateError::Failed {
                    message: error.to_string(),
                },
            })
    }
}

/// Names of what was thought before an answer; which one a template reads differs.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Drops empty entries, and writes reasoning under every name that templates read.
fn complete(message: &mut Map<String, Value>) {
    message.retain(|_, value| !value.is_null());
    let reasoning = REASONING.iter().find_map(|name| message.get(*name));
    if let Some(reasoning) = reasoning.cloned() {
        message
            .entry("thinking")
            .or_insert_with(|| reasoning.clone());
        message.insert("reasoning_content".into(), reasoning);
    }
}

fn raise_exception(message: &str) -> Result<String, Error> {
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("{REFUSED}{message}"),
    ))
}

#[cfg(test)]
mod tests {
    use isogloss_record::Role;

    use super::*;

    fn message(role: Role, content: &str) -> Message {
        Message {
            role,
            content: content.to_owned(),
        }
    }

    #[track_caller]
    fn check(source: &str, want: &str) {
        let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        let messages = [
            message(Role::User, " <b>& สวัสดี"),
            message(Role::Assistant, "مرحبا"),
        ];
        assert_eq!(template.render(&messages, true).unwrap(), want);
    }

    #[test]
    fn python_and_transformers_habits() {
        check(
            "{{ bos_token }}{% for m in messages %}\n[{{ m['role'] }}]{{ m.content.strip() }}\n{% endfor %}\n",
            "<s>[user]<b>& สวัสดี\n[assistant]مرحبا\n",
        );
        check(
            "{{ messages[0] | tojson }}",
            r#"{"role": "user", "content": " <b>& สวัสดี"}"#,
        );
        check(
            "{{ {'a': [1, true, none]} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1,\n    true,\n    null\n  ]\n}",
        );
        check("{{ ['a', 'b'].index('b') }}{{ 'กขค'.index('ค') }}", "12");
        check(
            "{{ 'a-b-c'.rsplit('-', 1) | join('|') }}{{ 'abc'.removeprefix('a').removesuffix('c') }}",
            "a-b|cb",
        );
        check("{{ strftime_now('%d %b %Y, %-d') }}", "01 Jan 2025, 1");
        check(
            "{% generation %}x{% endgeneration %}{%- generation -%} y {%- endgeneration -%}",
            "xy",
        );
        check(
            "{% if tools is not none and tools %}t{% endif %}{% if nothing is defined %}d{% endif %}",
            "",
        );
        check(
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
            "<|im_start|>assistant\n",
        );
    }

    #[test]
    fn a_template_that_refuses_fails_or_never_ends_is_one_error() {
        let render = |source: &str| {
            let template = ChatTemplate::new(source, "", "").unwrap();
            template.render(&[message(Role::System, "x")], true)
        };
        assert!(matches!(
            render("{{ raise_exception('no system turn') }}"),
            Err(TemplateError::Refused { message }) if message == "no system turn"
        ));
        assert!(matches!(
            render(
                "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
            ),
            Err(TemplateError::Failed { .. })
        ));
        assert!(matches!(
            render("{{ 1 / 0 }}"),
            Err(TemplateError::Failed { .. })
        ));
        assert!(matches!(
            ChatTemplate::new("{% for %}", "", ""),
            Err(TemplateError::Syntax { .. })
        ));
        // Signs that share a letter are no tag.
        for source in ["{%}", "{%}%}", "{%-%}", "{%"] {
            assert!(ChatTemplate::new(source, "", "").is_err(), "{source}");
        }
        // No way to other files.
        assert!(render("{% include '/etc/passwd' %}").is_err());
    }
}
