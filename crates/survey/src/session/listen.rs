//! Listening to what a model says: continuations, answers, and the identifier's judgment.

use isogloss_eval::run::{Progress as Asked, Runner};
use isogloss_lang::script;
use isogloss_model::BackendError;
use isogloss_record::{Lang, Message, Prompt, Request, Response, Role, Sampling, Script};

use crate::error::SurveyError;
use crate::items::cut::halves;
use crate::measures::fidelity::{Continuation, Reliability, is_loop, is_verbatim, without_loop};

/// A language identifier, with what is known of its errors.
pub struct Hearing<'a> {
    /// The language of a text; `None` where it abstains.
    pub identify: Identify<'a>,
    /// Its errors for a language.
    pub reliability: ReliabilityOf<'a>,
}

/// From a text to its language.
pub type Identify<'a> = Box<dyn Fn(&str) -> Option<Lang> + Sync + 'a>;

/// From a language to what is known of the identifier in it.
pub type ReliabilityOf<'a> = Box<dyn Fn(Lang) -> Reliability + Sync + 'a>;

/// What is continued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) lang: Lang,
    pub(crate) script: Script,
    /// The whole text; its first half is given.
    pub(crate) text: &'a str,
}

/// Greedy continuations of first halves, judged.
pub(crate) fn continuations(
    runner: &mut Runner<'_>,
    starts: &[Start<'_>],
    n_tokens: usize,
    hearing: &Hearing<'_>,
    on_progress: &mut dyn FnMut(Asked),
) -> Result<Vec<Continuation>, SurveyError> {
    let prompt = |start: &Start<'_>| Prompt::Text(halves(start.text).0.to_owned());
    let said = generate(runner, starts.iter().map(prompt), n_tokens, on_progress)?;
    Ok(starts
        .iter()
        .zip(said)
        .map(|(start, (text, ids))| Continuation {
            verbatim: is_verbatim(&text, halves(start.text).1),
            ..judge(start, &text, &ids, hearing)
        })
        .collect())
}

/// Greedy answers to texts as user turns, judged.
pub(crate) fn answers(
    runner: &mut Runner<'_>,
    starts: &[Start<'_>],
    n_tokens: usize,
    hearing: &Hearing<'_>,
    on_progress: &mut dyn FnMut(Asked),
) -> Result<Vec<Continuation>, SurveyError> {
    let prompt = |start: &Start<'_>| {
        Prompt::Chat(vec![Message {
            role: Role::User,
            content: start.text.to_owned(),
        }])
    };
    let said = generate(runner, starts.iter().map(prompt), n_tokens, on_progress)?;
    Ok(starts
        .iter()
        .zip(said)
        .map(|(start, (text, ids))| judge(start, &text, &ids, hearing))
        .collect())
}

fn generate(
    runner: &mut Runner<'_>,
    prompts: impl Iterator<Item = Prompt>,
    n_tokens: usize,
    on_progress: &mut dyn FnMut(Asked),
) -> Result<Vec<(String, Vec<u32>)>, SurveyError> {
    let requests: Vec<Request> = prompts
        .map(|prompt| Request::Generate {
            prompt,
            sampling: Sampling {
                max_tokens: n_tokens,
                temperature: 0.0,
                seed: 0,
                stop: Vec::new(),
            },
        })
        .collect();
    let backend = runner.backend();
    runner
        .ask(&requests, on_progress)?
        .into_iter()
        .map(|answer| match answer.response {
            Response::Generate {
                text, token_ids, ..
            } => {
                // Of a server that tells no ids: those of the text.
                let ids = token_ids.map_or_else(|| backend.tokenize(&text), Ok)?;
                Ok((text, ids))
            }
            _ => Err(BackendError::Invalid(
                "a generation was answered with something else".to_owned(),
            )
            .into()),
        })
        .collect()
}

fn judge(start: &Start<'_>, text: &str, ids: &[u32], hearing: &Hearing<'_>) -> Continuation {
    let said_nothing = !text.chars().any(char::is_alphanumeric);
    Continuation {
        in_language: (!said_nothing)
            .then(|| (hearing.identify)(without_loop(text)))
            .map(|heard| heard.is_some_and(|heard| is_same(heard, start.lang))),
        script_share: script::share(text, start.script),
        loops: is_loop(ids),
        verbatim: None,
    }
}

/// The same language; scripts are compared where both are named.
fn is_same(a: Lang, b: Lang) -> bool {
    a.code() == b.code()
        && match (a.script(), b.script()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
}
