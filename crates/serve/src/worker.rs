//! The one thread that asks the model: a batch of waiting prompts, one call, an answer for each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Response};

use crate::error::ApiError;
use crate::queue::{Done, Drawn, Event, Queue, Ticket};

/// Answers tickets until the queue is closed and empty. `cancel` ends what is running.
pub(crate) fn work(backend: &dyn Backend, queue: &Queue, batch_size: usize, cancel: &AtomicBool) {
    let settings = RunSettings {
        batch_size,
        share_prefixes: true,
        cancel,
    };
    while let Some(tickets) = queue.take(batch_size) {
        for failure in answer(backend, &tickets, &settings) {
            // One prompt must not cost its neighbors their answers: each is asked alone. One whose
            // tokens were shown cannot be: it would begin anew.
            let again = tickets.len() > 1 && !failure.has_tokens && !cancel.load(Ordering::Relaxed);
            let failures = if again {
                answer(backend, std::slice::from_ref(failure.ticket), &settings)
            } else {
                vec![failure]
            };
            for failure in failures {
                let _ = failure.ticket.answers.send(Event::Failed(failure.error));
            }
        }
    }
}

struct Failure<'a> {
    ticket: &'a Ticket,
    /// Whether some of its tokens were sent.
    has_tokens: bool,
    error: ApiError,
}

/// A ticket's answer as it comes together.
#[derive(Default)]
struct Open {
    n_missing: usize,
    has_tokens: bool,
    done: Done,
}

/// Asks the model once; every ticket gets its answer, or is given back.
fn answer<'a>(
    backend: &dyn Backend,
    tickets: &'a [Ticket],
    settings: &RunSettings<'_>,
) -> Vec<Failure<'a>> {
    let (mut jobs, mut owners) = (Vec::new(), Vec::new());
    let mut open: Vec<Open> = Vec::new();
    for (at, ticket) in tickets.iter().enumerate() {
        let n_jobs = jobs.len();
        if ticket.score {
            jobs.push(Encoded::Score {
                token_ids: ticket.token_ids.clone(),
                n_context: 0,
                scored_from: 1,
                n_pooled: 0,
            });
        }
        jobs.extend(ticket.generate.clone());
        owners.resize(jobs.len(), at);
        open.push(Open {
            n_missing: jobs.len() - n_jobs,
            ..Open::default()
        });
    }
    let asked = catch_unwind(AssertUnwindSafe(|| {
        ask(backend, tickets, &jobs, &owners, settings)
    }));
    let (answered, mut error) = match asked {
        Ok((answered, result)) => (answered, result.err().map(|e| ApiError::of_model(&e))),
        Err(_) => (Vec::new(), Some(ApiError::new(500, "the model failed"))),
    };
    for (job, response, has_tokens) in answered {
        let open = &mut open[owners[job]];
        open.has_tokens |= has_tokens;
        if let Some(response) = response {
            open.n_missing -= 1;
            take(&mut open.done, response);
        }
    }
    let mut failures = Vec::new();
    for (ticket, mut open) in tickets.iter().zip(open) {
        let mut own_error = None;
        if ticket.generate.is_some() && settings.cancel.load(Ordering::Relaxed) {
            // It may have been cut short.
            own_error = Some(ApiError::stopping());
        } else if open.n_missing == 0 && ticket.n_top > 0 {
            match top(backend, ticket, &open.done, settings) {
                Ok(top) => open.done.top = top,
                Err(error) => own_error = Some(error),
            }
        } else if open.n_missing > 0 {
            let unanswered = || ApiError::new(500, "the model gave no answer");
            own_error = Some(error.get_or_insert_with(unanswered).clone());
        }
        match own_error {
            Some(error) => failures.push(Failure {
                ticket,
                has_tokens: open.has_tokens,
                error,
            }),
            None => {
                let _ = ticket.answers.send(Event::Done {
                    choice: ticket.choice,
                    done: open.done,
                });
            }
        }
    }
    failures
}

/// Per job its response, and whether tokens of it were sent.
type Answered = Vec<(usize, Option<Response>, bool)>;

fn ask(
    backend: &dyn Backend,
    tickets: &[Ticket],
    jobs: &[Encoded],
    owners: &[usize],
    settings: &RunSettings<'_>,
) -> (Answered, Result<(), BackendError>) {
    let mut answered: Answered = (0..jobs.len()).map(|job| (job, None, false)).collect();
    let mut has_tokens = vec![false; jobs.len()];
    let result = backend.run_streaming(
        jobs,
        settings,
        &mut |job, id, logprob| {
            let ticket = &tickets[owners[job]];
            if ticket.wants_tokens {
                has_tokens[job] = true;
                let _ = ticket.answers.send(Event::Token {
                    choice: ticket.choice,
                    id,
                    logprob,
                });
            }
            ticket.is_wanted.load(Ordering::Relaxed) && !settings.cancel.load(Ordering::Relaxed)
        },
        &mut |job, response| answered[job].1 = Some(response),
    );
    for (slot, has_tokens) in answered.iter_mut().zip(has_tokens) {
        slot.2 = has_tokens;
    }
    (answered, result.map(|_| ()))
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
                token_ids,
                logprobs,
                text,
                finish_reason,
            });
        }
        Response::Choose { .. } => {}
    }
}

/// The most probable tokens at every position that has a log-probability; its states are those that
/// the answer was just computed from.
fn top(
    backend: &dyn Backend,
    ticket: &Ticket,
    done: &Done,
    settings: &RunSettings<'_>,
) -> Result<Vec<Vec<(u32, f32)>>, ApiError> {
    let mut ids = ticket.token_ids.clone();
    let from = if ticket.score { 1 } else { ids.len() };
    ids.extend(done.drawn.iter().flat_map(|drawn| &drawn.token_ids));
    let none = usize::from(ticket.score).min(ids.len());
    let positions = from..ids.len().max(from);
    let found = catch_unwind(AssertUnwindSafe(|| {
        backend.most_probable(&ids, positions, ticket.n_top, settings)
    }));
    let top = match found {
        Ok(top) => top.map_err(|error| ApiError::of_model(&error))?,
        Err(_) => return Err(ApiError::new(500, "the model failed")),
    };
    Ok(std::iter::repeat_n(Vec::new(), none).chain(top).collect())
}
