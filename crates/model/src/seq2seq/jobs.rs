//! Jobs of a call, batch by batch: sources encoded, targets scored at once or drawn token by token.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use isogloss_record::{Encoded, FinishReason, Response, Sampling, Usage};

use super::forward::{Buffers, Target};
use super::network::Seq2SeqNetwork;
use super::output::{LOGIT_ROWS, Logits};
use crate::arch::kv::Kv;
use crate::backend::{BackendError, RunSettings};
use crate::encoder::network::batch_len;
use crate::sample;

/// Tokens of a generation that have room from the start; the room doubles when it is full.
const GROWTH: usize = 32;

/// One call.
pub(super) struct Work<'a> {
    pub(super) network: &'a Seq2SeqNetwork,
    pub(super) settings: &'a RunSettings<'a>,
    pub(super) buffers: &'a mut Buffers,
    pub(super) usage: Usage,
}

/// What ends a generation, besides its own stop texts.
pub(super) struct Stops<'a> {
    /// Ids besides those of the configuration.
    pub(super) eos: &'a [u32],
    /// Text of generated ids.
    pub(super) text_of: &'a dyn Fn(&[u32]) -> String,
}

/// Who hears of tokens and answers.
pub(super) struct Listener<'a> {
    pub(super) on_token: &'a mut dyn FnMut(usize, u32, f32) -> bool,
    pub(super) on_response: &'a mut dyn FnMut(usize, Response),
}

/// A source whose keys and values are known.
struct Source<'a> {
    ids: &'a [u32],
    kv: Arc<Kv>,
}

/// A target to score: of a score job, or a label of a choice.
struct Scored<'a> {
    job: usize,
    label: usize,
    source: &'a [u32],
    target: &'a [u32],
}

/// What scoring a target gave.
struct Score {
    logprobs: Vec<f32>,
    greedy: bool,
}

/// A generation under way.
struct Open<'a> {
    job: usize,
    sampling: &'a Sampling,
    source: &'a [u32],
    source_kv: Arc<Kv>,
    own: Kv,
    /// The start, then the drawn tokens.
    inputs: Vec<u32>,
    logprobs: Vec<f32>,
}

impl Work<'_> {
    /// Answers score and choice jobs.
    pub(super) fn score(
        &mut self,
        jobs: &[Encoded],
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<(), BackendError> {
        let mut scores: Vec<Vec<Option<Score>>> = jobs.iter().map(parts_of).collect();
        let mut todo: Vec<Scored<'_>> = Vec::new();
        for (job, encoded) in jobs.iter().enumerate() {
            todo.extend(targets_of(job, encoded));
        }
        // Neighbors share their source.
        todo.sort_by(|a, b| (a.source, a.job, a.label).cmp(&(b.source, b.job, b.label)));
        let mut sources: Vec<Source<'_>> = Vec::new();
        let mut first = 0;
        let mut n_open: Vec<usize> = scores.iter().map(Vec::len).collect();
        for (job, encoded) in jobs.iter().enumerate() {
            if n_open[job] == 0 && !matches!(encoded, Encoded::Generate { .. }) {
                on_response(job, response(encoded, Vec::new()));
            }
        }
        while first < todo.len() {
            self.check_canceled()?;
            let rest = &todo[first..];
            let n = batch_len(rest, self.settings.batch_size, |s| s.target.len().max(1));
            let batch = &rest[..n];
            let wanted: Vec<&[u32]> = batch.iter().map(|scored| scored.source).collect();
            let kvs = self.encode(&wanted, &mut sources);
            for (scored, score) in batch.iter().zip(self.score_batch(batch, &kvs)?) {
                scores[scored.job][scored.label] = Some(score);
                n_open[scored.job] -= 1;
                if n_open[scored.job] == 0 {
                    let parts = std::mem::take(&mut scores[scored.job]);
                    let parts = parts.into_iter().flatten().collect();
                    on_response(scored.job, response(&jobs[scored.job], parts));
                }
            }
            first += n;
        }
        Ok(())
    }

    /// Keys and values of each source; equal ones are computed once where that is allowed. What
    /// `known` holds afterwards are the sources of this call.
    fn encode<'a>(&mut self, wanted: &[&'a [u32]], known: &mut Vec<Source<'a>>) -> Vec<Arc<Kv>> {
        let share = self.settings.share_prefixes;
        known.retain(|source| share && wanted.contains(&source.ids));
        let mut new: Vec<&'a [u32]> = Vec::new();
        for ids in wanted {
            self.usage.n_tokens_requested += ids.len() as u64;
            if share && (known.iter().any(|s| s.ids == *ids) || new.contains(ids)) {
                self.usage.n_tokens_shared += ids.len() as u64;
            } else {
                self.usage.n_tokens_computed += ids.len() as u64;
                new.push(ids);
            }
        }
        let mut fresh: Vec<Source<'a>> = Vec::new();
        while fresh.len() < new.len() {
            let rest = &new[fresh.len()..];
            let batch = &rest[..batch_len(rest, rest.len(), |ids| ids.len())];
            let (model, buffers) = (&self.network.loaded.model, &mut *self.buffers);
            self.network.loaded.pool.install(|| {
                let spans = model.encode(batch, buffers);
                for (ids, rows) in batch.iter().zip(spans) {
                    let kv = Arc::new(model.cross(rows, buffers));
                    fresh.push(Source { ids, kv });
                }
            });
        }
        if !share {
            return fresh.into_iter().map(|source| source.kv).collect();
        }
        known.extend(fresh);
        let kv_of = |ids: &&[u32]| {
            let source = known.iter().find(|source| source.ids == *ids);
            source.expect("known or computed above").kv.clone()
        };
        wanted.iter().map(kv_of).collect()
    }

    fn score_batch(
        &mut self,
        batch: &[Scored<'_>],
        kvs: &[Arc<Kv>],
    ) -> Result<Vec<Score>, BackendError> {
        let model = &self.network.loaded.model;
        let start = model.config.start_id;
        let inputs: Vec<Vec<u32>> = (batch.iter())
            .map(|scored| match scored.target.split_last() {
                Some((_, before)) => [&[start], before].concat(),
                None => vec![start],
            })
            .collect();
        let shape = model.kv_shape(model.config.n_decoder_layers);
        let mut own: Vec<Kv> = inputs.iter().map(|ids| Kv::new(shape, ids.len())).collect();
        let mut targets: Vec<Target<'_>> = (inputs.iter().zip(&mut own))
            .zip(batch.iter().zip(kvs))
            .map(|((inputs, own), (scored, source))| Target {
                inputs,
                first_position: 0,
                own,
                source,
                n_source: scored.source.len(),
            })
            .collect();
        let n_rows: usize = inputs.iter().map(Vec::len).sum();
        self.usage.n_tokens_requested += n_rows as u64;
        self.usage.n_tokens_computed += n_rows as u64;
        let buffers = &mut *self.buffers;
        let spans = (self.network.loaded.pool).install(|| model.decode(&mut targets, buffers));
        let tokens: Vec<u32> = (batch.iter())
            .flat_map(|scored| match scored.target {
                // The one row of an empty target is not looked at.
                [] => &[0],
                target => target,
            })
            .copied()
            .collect();
        let mut found: Vec<(f32, bool)> = Vec::with_capacity(n_rows);
        self.for_logits(n_rows, |row, i, logits| {
            let token = tokens[row];
            found.push((logits.logprob(i, token), logits.argmax(i) == token));
        })?;
        let score = |(scored, rows): (&Scored<'_>, Range<usize>)| {
            let found = &found[rows][..scored.target.len()];
            Score {
                logprobs: found.iter().map(|(logprob, _)| *logprob).collect(),
                greedy: found.iter().all(|(_, greedy)| *greedy),
            }
        };
        Ok(batch.iter().zip(spans).map(score).collect())
    }

    /// Calls `f(row, i, logits)` for the rows of the decoder's states: row `row` is the `i`-th of
    /// these logits.
    fn for_logits(
        &self,
        n_rows: usize,
        mut f: impl FnMut(usize, usize, &Logits),
    ) -> Result<(), BackendError> {
        for first in (0..n_rows).step_by(LOGIT_ROWS) {
            let n = LOGIT_ROWS.min(n_rows - first);
            let (model, states) = (&self.network.loaded.model, &self.buffers.x);
            let logits = (self.network.loaded.pool).install(|| Logits::of(model, states, first, n));
            let logits = logits.ok_or_else(|| self.network.not_finite())?;
            (0..n).for_each(|i| f(first + i, i, &logits));
        }
        Ok(())
    }

    /// Answers generation jobs.
    pub(super) fn generate(
        &mut self,
        jobs: &[Encoded],
        stops: &Stops<'_>,
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
        // Taken from the end; neighbors share their source.
        waiting.sort_by(|a, b| (b.1, b.0).cmp(&(a.1, a.0)));
        let mut open: Vec<Open<'_>> = Vec::new();
        let mut sources: Vec<Source<'_>> = Vec::new();
        loop {
            self.check_canceled()?;
            let mut new = Vec::new();
            while open.len() + new.len() < self.settings.batch_size.max(1) {
                let Some((job, source, sampling)) = waiting.pop() else {
                    break;
                };
                if sampling.max_tokens == 0 {
                    let answer =
                        answer(Vec::new(), Vec::new(), String::new(), FinishReason::Length);
                    (listener.on_response)(job, answer);
                } else {
                    new.push((job, source, sampling));
                }
            }
            open.extend(self.start(&new, &mut sources));
            if open.is_empty() {
                return Ok(());
            }
            let drawn = self.step(&mut open)?;
            let mut still_open = Vec::with_capacity(open.len());
            for (mut o, (token, logprob)) in open.into_iter().zip(drawn) {
                o.inputs.push(token);
                o.logprobs.push(logprob);
                let is_wanted = (listener.on_token)(o.job, token, logprob);
                let given_up = || ((stops.text_of)(&o.inputs[1..]), FinishReason::Length);
                let finished = self.finished(&o, stops);
                match finished.or_else(|| (!is_wanted).then(given_up)) {
                    Some((text, reason)) => {
                        let ids = o.inputs.split_off(1);
                        (listener.on_response)(o.job, answer(ids, o.logprobs, text, reason));
                    }
                    None => still_open.push(o),
                }
            }
            open = still_open;
        }
    }

    fn start<'a>(
        &mut self,
        new: &[(usize, &'a [u32], &'a Sampling)],
        sources: &mut Vec<Source<'a>>,
    ) -> Vec<Open<'a>> {
        if new.is_empty() {
            return Vec::new();
        }
        let wanted: Vec<&[u32]> = new.iter().map(|(_, source, _)| *source).collect();
        let kvs = self.encode(&wanted, sources);
        let model = &self.network.loaded.model;
        let shape = model.kv_shape(model.config.n_decoder_layers);
        let open =
            |((job, source, sampling), source_kv): (&(usize, &'a [u32], &'a Sampling), _)| {
                let room = GROWTH.min(sampling.max_tokens);
                Open {
                    job: *job,
                    sampling,
                    source,
                    source_kv,
                    own: Kv::new(shape, room),
                    inputs: vec![model.config.start_id],
                    logprobs: Vec::new(),
                }
            };
        new.iter().zip(kvs).map(open).collect()
    }

    /// The next token of each generation, with its log-probability.
    fn step(&mut self, open: &mut [Open<'_>]) -> Result<Vec<(u32, f32)>, BackendError> {
        let model = &self.network.loaded.model;
        for o in open.iter_mut() {
            let n_stored = o.inputs.len() - 1;
            if n_stored == o.own.capacity() {
                let room = (2 * n_stored).min(o.sampling.max_tokens);
                o.own = o.own.with_capacity(n_stored, room);
            }
        }
        let mut targets: Vec<Target<'_>> = (open.iter_mut())
            .map(|o| Target {
                inputs: &o.inputs[o.inputs.len() - 1..],
                first_position: o.inputs.len() - 1,
                own: &mut o.own,
                source: &o.source_kv,
                n_source: o.source.len(),
            })
            .collect();
        let buffers = &mut *self.buffers;
        (self.network.loaded.pool).install(|| model.decode(&mut targets, buffers));
        self.usage.n_tokens_requested += open.len() as u64;
        self.usage.n_tokens_computed += open.len() as u64;
        let mut drawn = Vec::with_capacity(open.len());
        self.for_logits(open.len(), |row, i, logits| {
            let o = &open[row];
            let token = if o.sampling.temperature == 0.0 {
                logits.argmax(i)
            } else {
                sample::draw(logits.row(i), o.sampling, o.logprobs.len() as u64)
            };
            drawn.push((token, logits.logprob(i, token)));
        })?;
        Ok(drawn)
    }

    /// The text and the reason, if the last token ended it.
    fn finished(&self, o: &Open<'_>, stops: &Stops<'_>) -> Option<(String, FinishReason)> {
        let config = &self.network.loaded.model.config;
        let drawn = &o.inputs[1..];
        let (last, before) = drawn.split_last()?;
        if config.eos_ids.contains(last) || stops.eos.contains(last) {
            return Some(((stops.text_of)(before), FinishReason::Stop));
        }
        let full = drawn.len() >= o.sampling.max_tokens || drawn.len() >= config.context_length;
        let stop_texts = || o.sampling.stop.iter().filter(|stop| !stop.is_empty());
        if !full && stop_texts().next().is_none() {
            return None;
        }
        let text = (stops.text_of)(drawn);
        match stop_texts()
            .filter_map(|stop| text.find(stop.as_str()))
            .min()
        {
            Some(at) => Some((text[..at].to_owned(), FinishReason::Stop)),
            None => full.then_some((text, FinishReason::Length)),
        }
    }

    fn check_canceled(&self) -> Result<(), BackendError> {
        if self.settings.cancel.load(Ordering::Relaxed) {
            return Err(BackendError::Canceled);
        }
        Ok(())
    }
}

/// Room for what a job asks to be scored.
fn parts_of(job: &Encoded) -> Vec<Option<Score>> {
    let n = match job {
        Encoded::Score { .. } => 1,
        Encoded::Choose { labels, .. } => labels.len(),
        Encoded::Generate { .. } => 0,
    };
    (0..n).map(|_| None).collect()
}

fn targets_of(job: usize, encoded: &Encoded) -> Vec<Scored<'_>> {
    match encoded {
        Encoded::Score {
            token_ids,
            n_context,
            ..
        } => {
            let (source, target) = token_ids.split_at(*n_context);
            vec![Scored {
                job,
                label: 0,
                source,
                target,
            }]
        }
        Encoded::Choose { token_ids, labels } => (labels.iter().enumerate())
            .map(|(label, target)| Scored {
                job,
                label,
                source: token_ids,
                target,
            })
            .collect(),
        Encoded::Generate { .. } => Vec::new(),
    }
}

fn response(job: &Encoded, mut scores: Vec<Score>) -> Response {
    match job {
        Encoded::Score {
            n_context,
            scored_from,
            ..
        } => {
            let score = scores.pop().expect("a score job has one target");
            let n_unscored = scored_from.saturating_sub(*n_context);
            let target = (score.logprobs.into_iter().enumerate())
                .map(|(i, logprob)| (i >= n_unscored).then_some(logprob));
            Response::Score {
                logprobs: std::iter::repeat_n(None, *n_context)
                    .chain(target)
                    .collect(),
                greedy: score.greedy,
                pooled: None,
            }
        }
        _ => Response::Choose {
            logprobs: (scores.iter())
                .map(|score| score.logprobs.iter().map(|x| f64::from(*x)).sum::<f64>() as f32)
                .collect(),
        },
    }
}

fn answer(
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    text: String,
    finish_reason: FinishReason,
) -> Response {
    Response::Generate {
        token_ids: Some(token_ids),
        text,
        logprobs: Some(logprobs),
        finish_reason,
    }
}
