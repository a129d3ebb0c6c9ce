//! The one thread that asks the model. Prompts join the batch that runs, between its steps.
//!
//! ```text
//! queue -> join (refused alone) -> step, step, step … -> Event::Token, Event::Done
//!             ^------------- while there is room -----/
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use isogloss_model::{Backend, BackendError, Flow, RunSettings};
use isogloss_record::{Encoded, Response};

use crate::error::ApiError;
use crate::queue::{Done, Drawn, Event, Queue, Ticket};
use crate::whole::Whole;

/// Jobs of a ticket: its prompt's log-probabilities, its continuation.
const N_JOBS: usize = 2;

/// Answers tickets until the queue is closed and empty; `batch_size` of them at most are under way.
/// `cancel` ends what is running.
pub(crate) fn work(backend: &dyn Backend, queue: &Queue, batch_size: usize, cancel: &AtomicBool) {
    let settings = RunSettings {
        batch_size,
        share_prefixes: true,
        cancel,
    };
    let mut batch = Batch::new(backend, &settings);
    loop {
        let n_room = batch_size.max(1).saturating_sub(batch.open.len());
        let tickets = if batch.open.is_empty() {
            match queue.take(n_room) {
                Some(tickets) => tickets,
                None => return,
            }
        } else {
            queue.take_now(n_room)
        };
        for ticket in tickets {
            batch.join(ticket);
        }
        for (open, error) in batch.step() {
            // One prompt must not cost its neighbors their answers: each is asked alone. One whose
            // tokens were shown cannot be: it would begin anew.
            if open.has_tokens || open.is_alone || cancel.load(Ordering::Relaxed) {
                let _ = open.ticket.answers.send(Event::Failed(error));
            } else {
                alone(backend, &settings, open.ticket);
            }
        }
    }
}

/// Asks for one ticket with nothing beside it.
fn alone(backend: &dyn Backend, settings: &RunSettings<'_>, ticket: Ticket) {
    let mut batch = Batch::new(backend, settings);
    batch.join(ticket);
    while !batch.open.is_empty() {
        for (open, error) in batch.step() {
            let _ = open.ticket.answers.send(Event::Failed(error));
        }
    }
}

/// A ticket whose answer is coming together.
struct Open {
    ticket: Ticket,
    n_missing: usize,
    /// Whether some of its tokens were sent.
    has_tokens: bool,
    /// Whether nothing else was under way since it joined.
    is_alone: bool,
    done: Done,
}

/// Tickets under way.
struct Batch<'a> {
    backend: &'a dyn Backend,
    settings: &'a RunSettings<'a>,
    flow: Box<dyn Flow + 'a>,
    /// By number; the jobs of ticket n are n · 2 and n · 2 + 1.
    open: BTreeMap<usize, Open>,
    next: usize,
}

fn flow_of(backend: &dyn Backend) -> Box<dyn Flow + '_> {
    backend
        .flow()
        .unwrap_or_else(|| Box::new(Whole::new(backend)))
}

impl<'a> Batch<'a> {
    fn new(backend: &'a dyn Backend, settings: &'a RunSettings<'a>) -> Self {
        Self {
            backend,
            settings,
            flow: flow_of(backend),
            open: BTreeMap::new(),
            next: 0,
        }
    }

    /// Puts a ticket's jobs into the batch, or tells that they are refused.
    fn join(&mut self, ticket: Ticket) {
        let number = self.next;
        self.next += 1;
        let score = ticket.score.then(|| Encoded::Score {
            token_ids: ticket.token_ids.clone(),
            n_context: 0,
            scored_from: 1,
            n_pooled: 0,
        });
        let jobs: Vec<Encoded> = score.into_iter().chain(ticket.generate.clone()).collect();
        let n_missing = jobs.len();
        for (i, job) in jobs.into_iter().enumerate() {
            if let Err(error) = self.flow.join(number * N_JOBS + i, ticket.model, job) {
                // An answer to its other job finds nobody.
                let _ = (ticket.answers).send(Event::Failed(ApiError::of_model(&error)));
                return;
            }
        }
        if n_missing == 0 {
            let done = Done::default();
            let choice = ticket.choice;
            let _ = ticket.answers.send(Event::Done { choice, done });
            return;
        }
        let is_alone = self.open.is_empty();
        self.open
            .values_mut()
            .for_each(|open| open.is_alone = false);
        let open = Open {
            ticket,
            n_missing,
            has_tokens: false,
            is_alone,
            done: Done::default(),
        };
        self.open.insert(number, open);
    }

    /// One step of the model; whole answers are sent, tickets without one are given back.
    fn step(&mut self) -> Vec<(Open, ApiError)> {
        let (open, flow, settings) = (&mut self.open, &mut self.flow, self.settings);
        let mut answered = Vec::new();
        let mut on_token = {
            let open = &mut *open;
            move |key: usize, id, logprob| token(open, settings, key, id, logprob)
        };
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let mut on_response = |key: usize, response| answered.push((key, response));
            flow.step(settings, &mut on_token, &mut on_response)
        }));
        for (key, response) in answered {
            if let Some(open) = open.get_mut(&(key / N_JOBS)) {
                open.n_missing -= 1;
                take(&mut open.done, response);
            }
        }
        let error = match stepped {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(ApiError::of_model(&error)),
            Err(_) => {
                self.flow = flow_of(self.backend);
                Some(ApiError::new(500, "the model failed"))
            }
        };
        let mut failed = self.finish();
        if let Some(error) = error {
            let lost = std::mem::take(&mut self.open);
            failed.extend(lost.into_values().map(|open| (open, error.clone())));
        }
        failed
    }

    /// Sends the answers that are whole.
    fn finish(&mut self) -> Vec<(Open, ApiError)> {
        let whole: Vec<usize> = (self.open.iter())
            .filter(|(_, open)| open.n_missing == 0)
            .map(|(number, _)| *number)
            .collect();
        let mut failed = Vec::new();
        for number in whole {
            let Some(mut open) = self.open.remove(&number) else {
                continue;
            };
            let cancel = self.settings.cancel.load(Ordering::Relaxed);
            if open.ticket.generate.is_some() && cancel {
                // It may have been cut short.
                failed.push((open, ApiError::stopping()));
                continue;
            }
            match self.top(&open) {
                Ok(top) => {
                    open.done.top = top;
                    let choice = open.ticket.choice;
                    let done = open.done;
                    let _ = open.ticket.answers.send(Event::Done { choice, done });
                }
                Err(error) => failed.push((open, error)),
            }
        }
        failed
    }

    /// The most probable tokens at every position that has a log-probability; its states are those
    /// that the answer was just computed from.
    fn top(&mut self, open: &Open) -> Result<Vec<Vec<(u32, f32)>>, ApiError> {
        let (ticket, done) = (&open.ticket, &open.done);
        if ticket.n_top == 0 {
            return Ok(Vec::new());
        }
        let mut ids = ticket.token_ids.clone();
        let from = if ticket.score { 1 } else { ids.len() };
        ids.extend(done.drawn.iter().flat_map(|drawn| &drawn.token_ids));
        let none = usize::from(ticket.score).min(ids.len());
        let positions = from..ids.len().max(from);
        let found = catch_unwind(AssertUnwindSafe(|| {
            let (flow, settings) = (&mut self.flow, self.settings);
            flow.most_probable(ticket.model, &ids, positions, ticket.n_top, settings)
        }));
        let top = match found {
            Ok(top) => top.map_err(|error: BackendError| ApiError::of_model(&error))?,
            Err(_) => return Err(ApiError::new(500, "the model failed")),
        };
        Ok(std::iter::repeat_n(Vec::new(), none).chain(top).collect())
    }
}

/// A new token of a continuation; whether more are wanted.
fn token(
    open: &mut BTreeMap<usize, Open>,
    settings: &RunSettings<'_>,
    key: usize,
    id: u32,
    logprob: f32,
) -> bool {
    let Some(open) = open.get_mut(&(key / N_JOBS)) else {
        return false;
    };
    let ticket = &open.ticket;
    if ticket.wants_tokens {
        open.has_tokens = true;
        let _ = ticket.answers.send(Event::Token {
            choice: ticket.choice,
            id,
            logprob,
        });
    }
    ticket.is_wanted.load(Ordering::Relaxed) && !settings.cancel.load(Ordering::Relaxed)
}

fn take(done: &mut Done, response: Response) {
    match response {
        Response::Score { logprobs, .. } => done.logprobs = Some(logprobs),
        Response::Generate {
            token_ids,
            text,
            logprobs,
            finish_reason,
        } => {
            done.drawn = Some(Drawn {
                token_ids: token_ids.unwrap_or_default(),
                logprobs: logprobs.unwrap_or_default(),
                text,
                finish_reason,
            });
        }
        Response::Choose { .. } => {}
    }
}
