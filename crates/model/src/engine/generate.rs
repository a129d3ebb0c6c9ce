//! Continuing prompts, many at once; each as if it were alone.

use std::ops::Range;

use isogloss_record::{Encoded, FinishReason, Response, Sampling, Usage};

use super::core::{Core, State};
use super::output;
use super::pass::Todo;
use super::tree::{Path, SegmentId};
use crate::backend::{BackendError, RunSettings};
use crate::sample;

/// Tokens of a segment that grows while a continuation is drawn.
const GROWTH: usize = 64;

/// What ends a generation, besides its own stop texts.
pub(super) struct Stops<'a> {
    /// End-of-sequence (and end-of-turn) ids.
    pub(super) eos: &'a [u32],
    /// Text of generated ids.
    pub(super) text_of: &'a dyn Fn(&[u32]) -> String,
}

/// Who hears of tokens and answers; see [`crate::Backend::run_streaming`].
pub(super) struct Listener<'a> {
    pub(super) on_token: &'a mut dyn FnMut(usize, u32, f32) -> bool,
    pub(super) on_response: &'a mut dyn FnMut(usize, Response),
}

/// A generation under way.
struct Open<'a> {
    job: usize,
    sampling: &'a Sampling,
    /// Prompt and drawn tokens that went through the network.
    path: Path,
    n_tokens: usize,
    /// Segments that only this generation uses.
    own: Vec<SegmentId>,
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    /// Rows to compute next.
    todo: Range<usize>,
}

impl Core {
    pub(super) fn generate(
        &self,
        state: &mut State,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        stops: &Stops<'_>,
        usage: &mut Usage,
        listener: &mut Listener<'_>,
    ) -> Result<(), BackendError> {
        let mut waiting: Vec<(usize, &[u32], &Sampling)> = (jobs.iter().enumerate())
            .filter_map(|(job, encoded)| match encoded {
                Encoded::Generate {
                    token_ids,
                    sampling,
                } => Some((job, &token_ids[..], sampling)),
                _ => None,
            })
            .collect();
        // Neighbors share most; taken from the end.
        waiting.sort_by(|a, b| (b.1, b.0).cmp(&(a.1, a.0)));
        let mut open: Vec<Open<'_>> = Vec::new();
        loop {
            while open.len() < settings.batch_size.max(1) {
                let Some((job, prompt, sampling)) = waiting.pop() else {
                    break;
                };
                usage.n_tokens_requested += prompt.len() as u64;
                if sampling.max_tokens == 0 {
                    (listener.on_response)(
                        job,
                        answer(&[], Vec::new(), String::new(), FinishReason::Length),
                    );
                } else {
                    open.push(start(state, job, prompt, sampling, settings, usage));
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            let todo: Vec<Todo> = (open.iter())
                .filter(|o| !o.todo.is_empty())
                .map(|o| Todo {
                    path: o.path.clone(),
                    range: o.todo.clone(),
                })
                .collect();
            self.step(state, &todo, settings)?;
            self.fill_heads(state, open.iter().map(|o| (&o.path, o.n_tokens - 1)))?;
            let mut still_open = Vec::with_capacity(open.len());
            for mut o in open {
                let token = self.draw(state, &o);
                let (logprob, _) = self.token_logprob(&state.tree, &o.path, o.n_tokens - 1, token);
                o.token_ids.push(token);
                o.logprobs.push(logprob);
                let is_wanted = (listener.on_token)(o.job, token, logprob);
                let given_up = || ((stops.text_of)(&o.token_ids), FinishReason::Length);
                let finished = self.finished(&o, stops);
                if let Some((text, reason)) = finished.or_else(|| (!is_wanted).then(given_up)) {
                    for id in o.own.iter().rev() {
                        state.tree.drop_segment(*id);
                    }
                    (listener.on_response)(o.job, answer(&o.token_ids, o.logprobs, text, reason));
                } else {
                    extend(state, &mut o, token);
                    usage.n_tokens_requested += 1;
                    usage.n_tokens_computed += 1;
                    still_open.push(o);
                }
            }
            open = still_open;
            if open.is_empty() {
                state.tree.shrink_to(if settings.share_prefixes {
                    self.cache_bytes
                } else {
                    0
                });
            }
        }
    }

    fn draw(&self, state: &State, o: &Open<'_>) -> u32 {
        let (id, at) = state.tree.locate(&o.path, o.n_tokens - 1);
        if o.sampling.temperature == 0.0 {
            return state.tree.segments[id].heads[at]
                .expect("filled above")
                .argmax;
        }
        let hidden = state.tree.hidden(id, at);
        let logits = self.pool.install(|| output::logits(&self.decoder, hidden));
        sample::draw(&logits, o.sampling, o.token_ids.len() as u64)
    }

    /// The text and the reason, if the last token ended it.
    fn finished(&self, o: &Open<'_>, stops: &Stops<'_>) -> Option<(String, FinishReason)> {
        let (last, before) = o.token_ids.split_last()?;
        if stops.eos.contains(last) {
            return Some(((stops.text_of)(before), FinishReason::Stop));
        }
        let full = o.token_ids.len() >= o.sampling.max_tokens
            || o.n_tokens + 1 >= self.decoder.config.context_length;
        if !full && o.sampling.stop.is_empty() {
            return None;
        }
        let text = (stops.text_of)(&o.token_ids);
        let first_stop = o
            .sampling
            .stop
            .iter()
            .filter(|s| !s.is_empty())
            .filter_map(|s| text.find(s.as_str()))
            .min();
        match first_stop {
            Some(at) => Some((text[..at].to_owned(), FinishReason::Stop)),
            None => full.then_some((text, FinishReason::Length)),
        }
    }
}

fn start<'a>(
    state: &mut State,
    job: usize,
    prompt: &[u32],
    sampling: &'a Sampling,
    settings: &RunSettings<'_>,
    usage: &mut Usage,
) -> Open<'a> {
    let (mut path, found) = if settings.share_prefixes {
        state.tree.find(prompt)
    } else {
        (Path::new(), 0)
    };
    let (mut own, new) = (Vec::new(), &prompt[found..]);
    if !new.is_empty() {
        let id = state
            .tree
            .push(&mut path, new, new.len(), settings.share_prefixes);
        if !settings.share_prefixes {
            own.push(id);
        }
    }
    usage.n_tokens_shared += found as u64;
    usage.n_tokens_computed += new.len() as u64;
    Open {
        job,
        sampling,
        path,
        n_tokens: prompt.len(),
        own,
        token_ids: Vec::new(),
        logprobs: Vec::new(),
        todo: 0..new.len(),
    }
}

/// Appends a drawn token as the next row.
fn extend(state: &mut State, o: &mut Open<'_>, token: u32) {
    let growing = o.own.last().copied().filter(|id| {
        let is_last = o.path.last().is_some_and(|(last, _)| last == id);
        is_last && state.tree.segments[*id].tokens.len() < state.tree.kvs[*id].capacity()
    });
    if let (Some(id), Some((_, used))) = (growing, o.path.last_mut()) {
        state.tree.grow(id, token);
        o.todo = *used..*used + 1;
        *used += 1;
    } else {
        let room = GROWTH.min(o.sampling.max_tokens);
        o.own
            .push(state.tree.push(&mut o.path, &[token], room, false));
        o.todo = 0..1;
    }
    o.n_tokens += 1;
}

fn answer(
    token_ids: &[u32],
    logprobs: Vec<f32>,
    text: String,
    finish_reason: FinishReason,
) -> Response {
    Response::Generate {
        token_ids: token_ids.to_vec(),
        text,
        logprobs,
        finish_reason,
    }
}
