//! Chat templates: a dialogue to the text that the model was trained on.
//!
//! ```text
//! messages -> ChatTemplate::render -> text (with the template's own BOS) -> crate::encode
//! ```
//!
//! Templates are Jinja programs that come with a model, so they run without files, network or
//! clock, and with a bounded number of steps. They see what `transformers` gives them: `messages`,
//! `add_generation_prompt`, `bos_token`, `eos_token`, `raise_exception`, `strftime_now`, `tojson`
//! without HTML escapes, and Python's string and list methods.
//!
//! The date is a constant ([`ChatTemplate::DATE`]): a prompt that changes over night could not be
//! reproduced.
//!
//! Source: `apply_chat_template` of transformers (`utils/chat_template_utils.py`).

use isogloss_record::{Explain, Message, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, context};

use crate::tokenizer::Tokenizer;

/// A template that was compiled once.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
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
}

impl Explain for TemplateError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { .. } | Self::Failed { .. } => {
                "give `prompt` instead of `messages`, or replace the model's chat_template".into()
            }
            Self::Refused { .. } => "change the roles or their order as the template says".into(),
        })
    }
}

/// Instructions that a template may run: a dialogue of a hundred turns needs some ten thousand.
const FUEL: u64 = 5_000_000;
/// Nesting of calls and blocks.
const RECURSION_LIMIT: usize = 100;
const NAME: &str = "chat_template";
/// Marks the error of `raise_exception`.
const REFUSED: &str = "refused: ";

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
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(syntax_error)?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.set_unknown_method_callback(unknown_method);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: &str| strftime(format));
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(syntax_error)?;
        Ok(Self {
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
        })
    }

    /// The template of a model's own files; `None` if it has none.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn of(tokenizer: &Tokenizer) -> Result<Option<Self>, TemplateError> {
        let Some(source) = tokenizer.chat_template() else {
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
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                let role = match message.role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                context! { role, content => message.content.as_str() }
            })
            .collect();
        let variables = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => (),
            documents => (),
        };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(variables))
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

/// `{% generation %}` marks what the assistant said, for training masks; the text is the same.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(n_bytes) = rest[start..].find("%}") else {
            break;
        };
        let tag = &rest[start..start + n_bytes];
        out.push_str(&rest[..start]);
        match tag[2..].trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace()) {
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[start + n_bytes..];
    }
    out.push_str(rest);
    out
}

fn raise_exception(message: &str) -> Result<String, Error> {
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("{REFUSED}{message}"),
    ))
}

/// JSON as Python's `json.dumps` writes it: `, ` and `: `, non-ASCII as it is, no HTML escapes.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn tojson(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let _ensure_ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    kwargs.assert_all_used()?;
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let mut out = String::new();
    write_json(&json, indent, 0, &mut out);
    Ok(Value::from_safe_string(out))
}

fn write_json(json: &serde_json::Value, indent: Option<usize>, depth: usize, out: &mut String) {
    use serde_json::Value as Json;
    let new_line = |depth: usize, out: &mut String| {
        if let Some(width) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(comma);
                }
                new_line(depth + 1, out);
                write_json(item, indent, depth + 1, out);
            }
            new_line(depth, out);
            out.push(']');
        }
        Json::Object(entries) if !entries.is_empty() => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(comma);
                }
                new_line(depth + 1, out);
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push_str(": ");
                write_json(value, indent, depth + 1, out);
            }
            new_line(depth, out);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Methods of Python's strings and lists that `pycompat` lacks.
fn unknown_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let argument = |index: usize| args.get(index).and_then(Value::as_str);
        match (method, argument(0), args.len()) {
            ("removeprefix", Some(prefix), 1) => {
                return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
            }
            ("removesuffix", Some(suffix), 1) => {
                return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
            }
            ("partition", Some(separator), 1) => {
                let (a, b, c) = match text.split_once(separator) {
                    Some((before, after)) => (before, separator, after),
                    None => (text, "", ""),
                };
                return Ok([a, b, c].into_iter().map(Value::from).collect());
            }
            ("rsplit", Some(separator), 1 | 2) => return rsplit(text, separator, args.get(1)),
            ("index", Some(part), 1) => {
                return match text.find(part) {
                    Some(at) => Ok(Value::from(text[..at].chars().count())),
                    None => Err(Error::new(
                        ErrorKind::InvalidOperation,
                        "substring not found",
                    )),
                };
            }
            _ => {}
        }
    }
    if method == "index"
        && value.kind() == ValueKind::Seq
        && let [wanted] = args
    {
        let position = value.try_iter()?.position(|item| item == *wanted);
        return position.map(Value::from).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("{wanted} is not in list"),
            )
        });
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

fn rsplit(text: &str, separator: &str, limit: Option<&Value>) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let limit = limit.and_then(|limit| usize::try_from(limit.clone()).ok());
    let mut parts: Vec<&str> = match limit {
        Some(limit) => text.rsplitn(limit + 1, separator).collect(),
        None => text.rsplit(separator).collect(),
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The constant date in the C library's notation; unknown fields stay as they are.
fn strftime(format: &str) -> String {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('Y') => out.push_str("2025"),
            Some('y') => out.push_str("25"),
            Some('m' | 'd') => out.push_str("01"),
            Some('e') => out.push_str(" 1"),
            Some('B') => out.push_str("January"),
            Some('b' | 'h') => out.push_str("Jan"),
            Some('A') => out.push_str("Wednesday"),
            Some('a') => out.push_str("Wed"),
            Some('j') => out.push_str("001"),
            Some('F') => out.push_str("2025-01-01"),
            Some('H' | 'M' | 'S') => out.push_str("00"),
            Some('I') => out.push_str("12"),
            Some('p') => out.push_str("AM"),
            Some('T') => out.push_str("00:00:00"),
            Some('Z') => out.push_str("UTC"),
            // Python's extension of the C notation: no padding.
            Some('-') => match letters.next() {
                Some('d' | 'm') => out.push('1'),
                Some('H' | 'M' | 'S') => out.push('0'),
                Some('I') => out.push_str("12"),
                other => {
                    out.push_str("%-");
                    out.extend(other);
                }
            },
            Some('%') => out.push('%'),
            other => {
                out.push('%');
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
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
        // No way to other files.
        assert!(render("{% include '/etc/passwd' %}").is_err());
    }
}
