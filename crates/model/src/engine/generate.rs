//! Continuing prompts, many at once; each as if it were alone.

use std::collections::VecDeque;
use std::ops::Range;

use isogloss_record::{Encoded, FinishReason, Response, Sampling, Usage};

use super::core::{Core, Job, State};
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

/// Generations under way and those that wait for their turn.
#[derive(Default)]
pub(super) struct Generation<'a> {
    waiting: VecDeque<Job<'a>>,
    open: Vec<Open<'a>>,
}

/// A generation under way.
struct Open<'a> {
    job: Job<'a>,
    /// Prompt and drawn tokens that went through the network; pinned.
    path: Path,
    n_tokens: usize,
    /// Segments that only this generation uses.
    own: Vec<SegmentId>,
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    /// Rows to compute next.
    todo: Range<usize>,
    /// Room for so many tokens may still be asked for.
    n_left: usize,
}

impl Job<'_> {
    fn prompt(&self) -> &[u32] {
        match &*self.encoded {
            Encoded::Generate { token_ids, .. } => token_ids,
            Encoded::Score { .. } | Encoded::Choose { .. } => &[],
        }
    }

    fn sampling(&self) -> &Sampling {
        match &*self.encoded {
            Encoded::Generate { sampling, .. } => sampling,
            Encoded::Score { .. } | Encoded::Choose { .. } => {
                unreachable!("only generations are added")
            }
        }
    }
}

impl<'a> Generation<'a> {
    pub(super) fn add(&mut self, job: Job<'a>) {
        self.waiting.push_back(job);
    }

    /// Neighbors share most.
    pub(super) fn sort(&mut self) {
        self.waiting
            .make_contiguous()
            .sort_by(|a, b| (a.adapter, a.prompt(), a.key).cmp(&(b.adapter, b.prompt(), b.key)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn n_jobs(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    /// Gives back what is under way.
    pub(super) fn abandon(&mut self, state: &mut State) {
        for o in self.open.drain(..) {
            end(state, &o);
        }
        self.waiting.clear();
    }

    /// Bytes of segments that those under way may still ask for.
    pub(super) fn reserved(&self, state: &State) -> usize {
        state.tree.bytes_of(self.n_left())
    }

    /// Tokens that those under way may still need room for.
    fn n_left(&self) -> usize {
        self.open.iter().map(|o| o.n_left).sum()
    }
}

impl Core {
    /// Room for new tokens that a generation may need.
    pub(super) fn growth(&self, n_prompt: usize, sampling: &Sampling) -> usize {
        let room = self.decoder.config.context_length.saturating_sub(n_prompt);
        sampling.max_tokens.min(room).next_multiple_of(GROWTH)
    }

    /// One token more for each generation under way, after those that wait have begun as far as
    /// there is room.
    pub(super) fn generate_step(
        &self,
        state: &mut State,
        generation: &mut Generation<'_>,
        settings: &RunSettings<'_>,
        stops: &Stops<'_>,
        usage: &mut Usage,
        listener: &mut Listener<'_>,
    ) -> Result<(), BackendError> {
        self.admit(state, generation, settings, usage, listener);
        if generation.open.is_empty() {
            return Ok(());
        }
        let open = &generation.open;
        let todo: Vec<Todo> = (open.iter())
            .filter(|o| !o.todo.is_empty())
            .map(|o| Todo {
                path: o.path.clone(),
                range: o.todo.clone(),
                adapter: o.job.adapter,
            })
            .collect();
        self.step(state, &todo, settings)?;
        self.fill_heads(state, open.iter().map(|o| (&o.path, o.n_tokens - 1)))?;
        let mut has_ended = false;
        for mut o in std::mem::take(&mut generation.open) {
            let token = self.draw(state, &o);
            let (logprob, _) = self.token_logprob(&state.tree, &o.path, o.n_tokens - 1, token);
            o.token_ids.push(token);
            o.logprobs.push(logprob);
            let is_wanted = (listener.on_token)(o.job.key, token, logprob);
            let given_up = || ((stops.text_of)(&o.token_ids), FinishReason::Length);
            let finished = self.finished(&o, stops);
            if let Some((text, reason)) = finished.or_else(|| (!is_wanted).then(given_up)) {
                end(state, &o);
                has_ended = true;
                let response = answer(&o.token_ids, o.logprobs, text, reason);
                (listener.on_response)(o.job.key, response);
            } else {
                extend(state, &mut o, token);
                usage.n_tokens_requested += 1;
                usage.n_tokens_computed += 1;
                generation.open.push(o);
            }
        }
        if has_ended {
            state.tree.shrink_to(self.kept_bytes(settings));
        }
        Ok(())
    }

    /// Begins generations that wait, as many as fit.
    fn admit(
        &self,
        state: &mut State,
        generation: &mut Generation<'_>,
        settings: &RunSettings<'_>,
        usage: &mut Usage,
        listener: &mut Listener<'_>,
    ) {
        while generation.open.len() < settings.batch_size.max(1)
            && let Some(job) = generation.waiting.front()
        {
            let growth = self.growth(job.prompt().len(), job.sampling());
            let reserved = state.tree.bytes_of(generation.n_left() + growth);
            if !self.make_room(state, job.prompt(), job.adapter, reserved)
                && !generation.open.is_empty()
            {
                break;
            }
            let Some(job) = generation.waiting.pop_front() else {
                break;
            };
            usage.n_tokens_requested += job.prompt().len() as u64;
            if job.sampling().max_tokens == 0 {
                let nothing = answer(&[], Vec::new(), String::new(), FinishReason::Length);
                (listener.on_response)(job.key, nothing);
            } else {
                generation
                    .open
                    .push(start(state, job, growth, settings, usage));
            }
        }
    }

    fn draw(&self, state: &State, o: &Open<'_>) -> u32 {
        let (id, at) = state.tree.locate(&o.path, o.n_tokens - 1);
        if o.job.sampling().temperature == 0.0 {
            return state.tree.segments[id].heads[at]
                .expect("filled above")
                .argmax;
        }
        let hidden = state.tree.hidden(id, at);
        let logits = self.pool.install(|| output::logits(&self.decoder, hidden));
        sample::draw(&logits, o.job.sampling(), o.token_ids.len() as u64)
    }

    /// The text and the reason, if the last token ended it.
    fn finished(&self, o: &Open<'_>, stops: &Stops<'_>) -> Option<(String, FinishReason)> {
        let (sampling, (last, before)) = (o.job.sampling(), o.token_ids.split_last()?);
        if stops.eos.contains(last) {
            return Some(((stops.text_of)(before), FinishReason::Stop));
        }
        let full = o.token_ids.len() >= sampling.max_tokens
            || o.n_tokens + 1 >= self.decoder.config.context_length;
        if !full && sampling.stop.is_empty() {
            return None;
        }
        let text = (stops.text_of)(&o.token_ids);
        let first_stop = sampling
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
    job: Job<'a>,
    growth: usize,
    settings: &RunSettings<'_>,
    usage: &mut Usage,
) -> Open<'a> {
    let (prompt, shares) = (job.prompt(), settings.share_prefixes);
    let (mut path, found) = if shares {
        state.tree.find(job.adapter, prompt)
    } else {
        (Path::new(), 0)
    };
    let (mut own, new) = (Vec::new(), &prompt[found..]);
    if !new.is_empty() {
        let id = (state.tree).push(&mut path, job.adapter, new, new.len(), shares);
        if !shares {
            own.push(id);
        }
    }
    state.tree.pin(&path);
    usage.n_tokens_shared += found as u64;
    usage.n_tokens_computed += new.len() as u64;
    Open {
        path,
        n_tokens: prompt.len(),
        own,
        token_ids: Vec::new(),
        logprobs: Vec::new(),
        todo: 0..new.len(),
        n_left: growth,
        job,
    }
}

/// Gives back what a generation used.
fn end(state: &mut State, o: &Open<'_>) {
    state.tree.unpin(&o.path);
    for id in o.own.iter().rev() {
        state.tree.drop_segment(*id);
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
        let room = GROWTH.min(o.job.sampling().max_tokens);
        let (path, adapter) = (&mut o.path, o.job.adapter);
        let id = state.tree.push(path, adapter, &[token], room, false);
        state.tree.pin(&vec![(id, 1)]);
        o.own.push(id);
        o.n_left = o.n_left.saturating_sub(room);
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
        token_ids: Some(token_ids.to_vec()),
        text,
        logprobs: Some(logprobs),
        finish_reason,
    }
}
