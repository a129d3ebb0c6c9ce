//! A model whose every answer can be worked out from the prompt alone, and that waits when told to.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};

use isogloss_model::{Backend, BackendError, Capabilities, RunSettings};
use isogloss_record::{
    Encoded, Fingerprint, FinishReason, Prompt, Request, Response, Sampling, Span, Usage,
};

pub(crate) const BOS: u32 = 256;
/// Ids from here on are long pieces of text.
pub(crate) const LONG: u32 = 1000;
/// This id makes the whole call fail.
pub(crate) const POISON: u32 = 999;

/// Reads bytes, one token each.
pub(crate) struct Model {
    fingerprint: Fingerprint,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    /// Steps that may be done; `None`: any number.
    permits: Option<u64>,
    n_calls: u64,
    n_drawn: u64,
    n_running: u64,
    largest_batch: usize,
}

impl Model {
    /// A model that answers at once.
    pub(crate) fn open() -> Self {
        Self {
            fingerprint: Fingerprint {
                name: "bytes".into(),
                architecture: "test".into(),
                quantization: "none".into(),
                compute: "f32".into(),
                hash: "00".into(),
                n_parameters: None,
                context_length: 1 << 24,
                license: None,
            },
            gate: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A model that does nothing until [`Model::permit`] is called.
    pub(crate) fn shut() -> Self {
        let model = Self::open();
        model.gate.lock().unwrap().permits = Some(0);
        model
    }

    /// Lets so many steps be done: calls, and tokens drawn.
    pub(crate) fn permit(&self, n: u64) {
        let mut gate = self.gate.lock().unwrap();
        gate.permits = gate.permits.map(|permits| permits + n);
        self.changed.notify_all();
    }

    /// Lets everything be done.
    pub(crate) fn unlock(&self) {
        self.gate.lock().unwrap().permits = None;
        self.changed.notify_all();
    }

    /// Waits until so many calls have begun.
    pub(crate) fn wait_for_calls(&self, n: u64) {
        let mut gate = self.gate.lock().unwrap();
        while gate.n_calls < n {
            gate = self.changed.wait(gate).unwrap();
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.gate.lock().unwrap().n_running == 0
    }

    pub(crate) fn n_drawn(&self) -> u64 {
        self.gate.lock().unwrap().n_drawn
    }

    pub(crate) fn largest_batch(&self) -> usize {
        self.gate.lock().unwrap().largest_batch
    }

    fn step(&self) {
        let mut gate = self.gate.lock().unwrap();
        while gate.permits == Some(0) {
            gate = self.changed.wait(gate).unwrap();
        }
        gate.permits = gate.permits.map(|permits| permits - 1);
    }
}

fn mix(state: u64, id: u32) -> u64 {
    (state ^ u64::from(id))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
}

/// ln p of every token of a sequence; of the first none.
pub(crate) fn logprobs(ids: &[u32]) -> Vec<Option<f32>> {
    let mut state = 1;
    ids.iter()
        .enumerate()
        .map(|(at, id)| {
            state = mix(state, *id);
            (at > 0).then(|| -0.25 - (state % 100_000) as f32 / 7919.0)
        })
        .collect()
}

/// The tokens that follow a prompt, letters a to z, with their ln p.
pub(crate) fn continuation(prompt: &[u32], n: usize) -> (Vec<u32>, Vec<f32>) {
    let mut state = prompt.iter().fold(2, |state, id| mix(state, *id));
    (0..n)
        .map(|_| {
            state = mix(state, 3);
            let id = u32::from(b'a') + (state % 26) as u32;
            (id, -0.5 - (state % 1000) as f32 / 333.0)
        })
        .unzip()
}

pub(crate) fn text_of(ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().filter_map(|id| u8::try_from(*id).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Backend for Model {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: true,
            hidden_states: false,
            chat: false,
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        let bos = |text: &str| {
            let ids = text.bytes().map(u32::from);
            std::iter::once(BOS).chain(ids).collect::<Vec<u32>>()
        };
        let ids = |prompt: &Prompt| match prompt {
            Prompt::Text(text) => Ok(bos(text)),
            Prompt::Tokens(ids) if ids.is_empty() => {
                Err(BackendError::Invalid("the text is empty".into()))
            }
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Chat(_) => Err(BackendError::Unsupported {
                model: "bytes".into(),
                what: "answer a dialogue: it has no chat template".into(),
            }),
        };
        match request {
            Request::Generate { prompt, sampling } => Ok(Encoded::Generate {
                token_ids: ids(prompt)?,
                sampling: sampling.clone(),
            }),
            Request::Score {
                context,
                continuation,
                span: Span::All,
                ..
            } => {
                let mut token_ids = ids(context)?;
                token_ids.extend(continuation.bytes().map(u32::from));
                Ok(Encoded::Score {
                    token_ids,
                    n_context: 0,
                    scored_from: 1,
                    n_pooled: 0,
                })
            }
            _ => Err(BackendError::Invalid("not in this test".into())),
        }
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        self.run_streaming(jobs, settings, &mut |_, _, _| true, on_response)
    }

    fn run_streaming(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        {
            let mut gate = self.gate.lock().unwrap();
            gate.n_calls += 1;
            gate.n_running += 1;
            gate.largest_batch = gate.largest_batch.max(jobs.len());
            self.changed.notify_all();
        }
        self.step();
        let result = self.answer(jobs, settings, on_token, on_response);
        self.gate.lock().unwrap().n_running -= 1;
        result.map(|()| Usage::default())
    }

    fn most_probable(
        &self,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        _settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        // `?` is always as probable as it may be, and what stands there follows.
        let logprobs = logprobs(token_ids);
        Ok(positions
            .map(|at| {
                let own = token_ids.get(at).map(|id| (*id, logprobs[at].unwrap()));
                let both = std::iter::once((u32::from(b'?'), -0.125)).chain(own);
                both.take(n).collect()
            })
            .collect())
    }

    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        match id {
            BOS => Some(b"<bos>".to_vec()),
            LONG.. => Some(vec![b'x'; 64]),
            id => Some(vec![u8::try_from(id).ok()?]),
        }
    }

    fn decode(&self, ids: &[u32]) -> Option<String> {
        Some(text_of(ids))
    }
}

impl Model {
    fn answer(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<(), BackendError> {
        for (job, encoded) in jobs.iter().enumerate() {
            if settings.cancel.load(Ordering::Relaxed) {
                return Err(BackendError::Canceled);
            }
            match encoded {
                Encoded::Score { token_ids, .. } if token_ids.contains(&POISON) => {
                    return Err(BackendError::NotFinite {
                        model: "bytes".into(),
                        place: "a poisoned token".into(),
                    });
                }
                Encoded::Score { token_ids, .. } => on_response(
                    job,
                    Response::Score {
                        logprobs: logprobs(token_ids),
                        greedy: false,
                        pooled: None,
                    },
                ),
                Encoded::Generate {
                    token_ids,
                    sampling,
                } => on_response(job, self.generate(job, token_ids, sampling, on_token)),
                Encoded::Choose { .. } => {}
            }
        }
        Ok(())
    }

    fn generate(
        &self,
        job: usize,
        prompt: &[u32],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
    ) -> Response {
        let (mut ids, mut logprobs) = continuation(prompt, sampling.max_tokens.min(1 << 20));
        let mut finish_reason = FinishReason::Length;
        let mut text = text_of(&ids);
        if let Some(at) = sampling
            .stop
            .iter()
            .filter_map(|s| text.find(s.as_str()))
            .min()
        {
            text.truncate(at);
            ids.truncate(at + 1);
            finish_reason = FinishReason::Stop;
        }
        let mut n = 0;
        for (id, logprob) in ids.iter().zip(&logprobs) {
            self.step();
            self.gate.lock().unwrap().n_drawn += 1;
            n += 1;
            if !on_token(job, *id, *logprob) {
                break;
            }
        }
        ids.truncate(n);
        logprobs.truncate(n);
        Response::Generate {
            token_ids: Some(ids),
            text,
            logprobs: Some(logprobs),
            finish_reason,
        }
    }
}
