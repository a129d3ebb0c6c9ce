//! From exact ids to an answer: wait in line, collect, write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use isogloss_record::FinishReason;
use serde_json::{Value, json};

use super::Outcome;
use super::ask::{Ask, Kind, Prompted};
use super::logprobs::{Position, of_chat, of_completion};
use super::text::Growing;
use crate::error::ApiError;
use crate::http::{Head, Wire};
use crate::queue::{Done, Drawn, Event, Ticket};
use crate::server::{Shared, now};

/// How often a waiting connection looks whether its client is still there.
const TICK: Duration = Duration::from_millis(100);

/// A request in line.
struct Waiting {
    events: Receiver<Event>,
    is_wanted: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

impl Waiting {
    /// The next event; `None` once the client is gone.
    fn next(&self, wire: &Wire<'_>) -> Option<Event> {
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout) if wire.is_gone() => return None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Event::Failed(ApiError::new(500, "the model failed")));
                }
            }
        }
    }
}

/// Answers a request.
pub(super) fn run(
    shared: &Shared<'_>,
    wire: &mut Wire<'_>,
    head: &Head,
    ask: &Ask,
) -> Result<Outcome, ApiError> {
    if ask.stream && !head.is_http11 {
        return Err(ApiError::field("stream", "streams need HTTP/1.1"));
    }
    let number = shared.n_requests.fetch_add(1, Ordering::Relaxed);
    let frame = Frame {
        shared,
        ask,
        id: match ask.kind {
            Kind::Completion => format!("cmpl-{number}"),
            Kind::Chat => format!("chatcmpl-{number}"),
        },
        created: now(),
    };
    let (waiting, mut done) = enqueue(shared, ask)?;
    if ask.stream {
        return frame.stream(wire, head.keep_alive, &waiting, done);
    }
    while done.iter().any(Option::is_none) {
        match waiting.next(wire) {
            None => return Ok(Outcome::Gone),
            Some(Event::Failed(error)) => return Err(error),
            Some(Event::Done {
                choice,
                done: found,
            }) => done[choice] = Some(found),
            Some(Event::Token { .. }) => {}
        }
    }
    let done: Vec<Done> = done.into_iter().flatten().collect();
    Ok(Outcome::ok(&frame.whole(&done)))
}

/// Puts all prompts in line; what needs no model is done already.
fn enqueue(shared: &Shared<'_>, ask: &Ask) -> Result<(Waiting, Vec<Option<Done>>), ApiError> {
    let (sender, events) = channel();
    let waiting = Waiting {
        events,
        is_wanted: Arc::new(AtomicBool::new(true)),
    };
    let (mut tickets, mut done) = (Vec::new(), Vec::new());
    for (choice, prompt) in ask.prompts.iter().enumerate() {
        let (score, generate) = (ask.scores(), ask.generate(shared, prompt)?);
        if !score && generate.is_none() {
            done.push(Some(Done::default()));
            continue;
        }
        done.push(None);
        let n_top = ask.n_top.unwrap_or(0);
        tickets.push(Ticket {
            choice,
            model: ask.model,
            token_ids: prompt.token_ids.clone(),
            score,
            generate,
            n_top,
            // Where positions before or beside the new tokens are asked for too, the answer is
            // streamed when it is whole.
            wants_tokens: ask.stream && n_top == 0 && !ask.echo,
            is_wanted: waiting.is_wanted.clone(),
            answers: sender.clone(),
        });
    }
    if !tickets.is_empty() {
        shared.queue.push(tickets)?;
    }
    Ok((waiting, done))
}

/// What all parts of an answer have in common.
struct Frame<'a> {
    shared: &'a Shared<'a>,
    ask: &'a Ask,
    id: String,
    created: u64,
}

/// How far the stream of one choice is.
#[derive(Default)]
struct Track {
    growing: Growing,
    /// Tokens of the continuation whose log-probabilities were sent.
    n_shown: usize,
    /// Tokens that were seen and are not sent yet.
    unsent: Vec<(u32, f32)>,
    offset: usize,
    has_begun: bool,
}

impl Frame<'_> {
    fn object(&self, is_part: bool) -> &'static str {
        match (self.ask.kind, is_part) {
            (Kind::Completion, _) => "text_completion",
            (Kind::Chat, false) => "chat.completion",
            (Kind::Chat, true) => "chat.completion.chunk",
        }
    }

    fn envelope(&self, is_part: bool, choices: &[Value]) -> Value {
        json!({
            "id": self.id,
            "object": self.object(is_part),
            "created": self.created,
            "model": self.shared.backend.models()[self.ask.model].name,
            "choices": choices,
        })
    }

    /// An answer in one piece.
    fn whole(&self, done: &[Done]) -> Value {
        let choices: Vec<Value> = (self.ask.prompts.iter().zip(done).enumerate())
            .map(|(index, (prompt, done))| self.choice(index, prompt, done))
            .collect();
        let mut body = self.envelope(false, &choices);
        body["usage"] = self.usage(done.iter().map(n_drawn).sum());
        body
    }

    fn usage(&self, n_drawn: usize) -> Value {
        let n_prompt: usize = (self.ask.prompts.iter())
            .map(|prompt| prompt.token_ids.len())
            .sum();
        json!({
            "prompt_tokens": n_prompt,
            "completion_tokens": n_drawn,
            "total_tokens": n_prompt + n_drawn,
        })
    }

    fn choice(&self, index: usize, prompt: &Prompted, done: &Done) -> Value {
        let drawn_text = done.drawn.as_ref().map_or("", |drawn| drawn.text.as_str());
        let positions = positions(self.ask, prompt, done, 0);
        let logprobs = self.logprobs(&positions, &mut 0);
        let finish_reason = finish_reason(done.drawn.as_ref());
        let mut choice = match self.ask.kind {
            Kind::Completion => json!({
                "index": index,
                "text": self.echoed(prompt) + drawn_text,
                "logprobs": logprobs,
                "finish_reason": finish_reason,
            }),
            Kind::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": drawn_text},
                "logprobs": logprobs,
                "finish_reason": finish_reason,
            }),
        };
        self.add_ids(&mut choice, prompt, done);
        choice
    }

    fn add_ids(&self, choice: &mut Value, prompt: &Prompted, done: &Done) {
        if self.ask.return_token_ids {
            let drawn = done.drawn.as_ref().map(|drawn| drawn.token_ids.as_slice());
            choice["prompt_token_ids"] = prompt.token_ids.as_slice().into();
            choice["token_ids"] = drawn.unwrap_or_default().into();
        }
    }

    /// The prompt's text, if it is to stand in the answer.
    fn echoed(&self, prompt: &Prompted) -> String {
        match &prompt.text {
            _ if !self.ask.echo => String::new(),
            Some(text) => text.clone(),
            None => {
                let text = self.shared.backend.decode(&prompt.token_ids);
                text.unwrap_or_default()
            }
        }
    }

    fn logprobs(&self, positions: &[Position<'_>], offset: &mut usize) -> Value {
        match (self.ask.n_top, self.ask.kind) {
            (None, _) => Value::Null,
            (Some(n_top), Kind::Completion) => {
                of_completion(self.shared.backend, positions, n_top, offset)
            }
            (Some(_), Kind::Chat) => of_chat(self.shared.backend, positions),
        }
    }

    /// An answer as server-sent events.
    fn stream(
        &self,
        wire: &mut Wire<'_>,
        keep_alive: bool,
        waiting: &Waiting,
        done: Vec<Option<Done>>,
    ) -> Result<Outcome, ApiError> {
        let mut tracks: Vec<Track> = done.iter().map(|_| Track::default()).collect();
        let mut n_open = done.len();
        let mut ready: Vec<(usize, Done)> = (done.into_iter().enumerate())
            .filter_map(|(choice, done)| Some((choice, done?)))
            .collect();
        let (mut has_begun, mut n_drawn_all) = (false, 0);
        while n_open > 0 {
            let event = match ready.pop() {
                Some((choice, done)) => Some(Event::Done { choice, done }),
                None => waiting.next(wire),
            };
            let part = match event {
                None => return Ok(Outcome::Gone),
                Some(Event::Failed(error)) if !has_begun => return Err(error),
                Some(Event::Failed(error)) => {
                    // The status is sent already: the error is the last event.
                    let body = String::from_utf8_lossy(&error.body()).into_owned();
                    let _ = wire.event(&body).and_then(|()| wire.end_events());
                    return Ok(Outcome::Streamed { is_whole: false });
                }
                Some(Event::Token {
                    choice,
                    id,
                    logprob,
                }) => self.part(choice, &mut tracks[choice], id, logprob),
                Some(Event::Done { choice, done }) => {
                    n_open -= 1;
                    n_drawn_all += n_drawn(&done);
                    Some(self.last_part(choice, &mut tracks[choice], &done))
                }
            };
            let Some(part) = part else { continue };
            let begun = has_begun || wire.begin_events(keep_alive).is_ok();
            has_begun = true;
            let chunk = self.envelope(true, &[part]);
            if !begun || wire.event(&chunk.to_string()).is_err() {
                return Ok(Outcome::Gone);
            }
        }
        let mut end = || {
            if self.ask.include_usage {
                let mut chunk = self.envelope(true, &[]);
                chunk["usage"] = self.usage(n_drawn_all);
                wire.event(&chunk.to_string())?;
            }
            wire.event("[DONE]")?;
            wire.end_events()
        };
        Ok(Outcome::Streamed {
            is_whole: end().is_ok(),
        })
    }

    /// What a new token lets us say; `None` where that is nothing yet.
    fn part(&self, choice: usize, track: &mut Track, id: u32, logprob: f32) -> Option<Value> {
        track.unsent.push((id, logprob));
        let decode = |ids: &[u32]| self.shared.backend.decode(ids).unwrap_or_default();
        let text = track.growing.push(id, &self.ask.sampling.stop, decode);
        if text.is_empty() {
            return None;
        }
        let unsent = std::mem::take(&mut track.unsent);
        track.n_shown += unsent.len();
        let positions: Vec<Position<'_>> = unsent
            .iter()
            .map(|(id, logprob)| Position {
                id: *id,
                logprob: Some(*logprob),
                top: &[],
            })
            .collect();
        let logprobs = self.logprobs(&positions, &mut track.offset);
        Some(self.chunk(choice, track, &text, &logprobs, None))
    }

    /// All that is left of a choice.
    fn last_part(&self, choice: usize, track: &mut Track, done: &Done) -> Value {
        let prompt = &self.ask.prompts[choice];
        let text = done.drawn.as_ref().map_or("", |drawn| drawn.text.as_str());
        let text = self.echoed(prompt) + &track.growing.finish(text);
        let positions = positions(self.ask, prompt, done, track.n_shown);
        let logprobs = self.logprobs(&positions, &mut track.offset);
        let reason = finish_reason(done.drawn.as_ref());
        let mut chunk = self.chunk(choice, track, &text, &logprobs, Some(reason));
        self.add_ids(&mut chunk, prompt, done);
        chunk
    }

    fn chunk(
        &self,
        choice: usize,
        track: &mut Track,
        text: &str,
        logprobs: &Value,
        finish_reason: Option<&str>,
    ) -> Value {
        let is_first = !std::mem::replace(&mut track.has_begun, true);
        match self.ask.kind {
            Kind::Completion => json!({
                "index": choice,
                "text": text,
                "logprobs": logprobs,
                "finish_reason": finish_reason,
            }),
            Kind::Chat => {
                let delta = if is_first {
                    json!({"role": "assistant", "content": text})
                } else {
                    json!({"content": text})
                };
                json!({
                    "index": choice,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": finish_reason,
                })
            }
        }
    }
}

/// Positions with a log-probability (or the first, which has none), from the `n_shown`th new token
/// on where some were shown.
fn positions<'a>(
    ask: &Ask,
    prompt: &'a Prompted,
    done: &'a Done,
    n_shown: usize,
) -> Vec<Position<'a>> {
    if ask.n_top.is_none() {
        return Vec::new();
    }
    let prompted = done.logprobs.iter().flat_map(|logprobs| {
        let ids = prompt.token_ids.iter().copied();
        ids.zip(logprobs.iter().copied())
    });
    let drawn = done.drawn.iter().flat_map(|drawn| {
        let logprobs = drawn.logprobs.iter().map(|logprob| Some(*logprob));
        drawn.token_ids.iter().copied().zip(logprobs)
    });
    prompted
        .chain(drawn)
        .enumerate()
        .skip(n_shown)
        .map(|(at, (id, logprob))| Position {
            id,
            logprob,
            top: done.top.get(at).map_or(&[], Vec::as_slice),
        })
        .collect()
}

fn n_drawn(done: &Done) -> usize {
    done.drawn.as_ref().map_or(0, |drawn| drawn.token_ids.len())
}

fn finish_reason(drawn: Option<&Drawn>) -> &'static str {
    match drawn.map(|drawn| drawn.finish_reason) {
        Some(FinishReason::Stop) => "stop",
        Some(FinishReason::Length) | None => "length",
    }
}
