//! Prompts that wait for the model: bounded, first come first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use isogloss_record::{Encoded, FinishReason};

use crate::error::ApiError;

/// One prompt of a request on its way through the model.
pub(crate) struct Ticket {
    /// Which prompt of its request.
    pub(crate) choice: usize,
    /// Which of the backend's models.
    pub(crate) model: usize,
    pub(crate) token_ids: Vec<u32>,
    /// Log-probabilities of the prompt.
    pub(crate) score: bool,
    /// A continuation; always [`Encoded::Generate`].
    pub(crate) generate: Option<Encoded>,
    /// So many of the most probable tokens at every position with a log-probability; 0: none.
    pub(crate) n_top: usize,
    /// Each new token as it is drawn.
    pub(crate) wants_tokens: bool,
    /// Whether somebody still reads the answer.
    pub(crate) is_wanted: Arc<AtomicBool>,
    pub(crate) answers: Sender<Event>,
}

/// What the worker says about a ticket.
pub(crate) enum Event {
    /// A new token of a continuation.
    Token {
        choice: usize,
        id: u32,
        logprob: f32,
    },
    /// The answer.
    Done { choice: usize, done: Done },
    /// There is none.
    Failed(ApiError),
}

/// The answer to a ticket.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Done {
    /// One per id of the prompt, if they were asked for; the first is `None`.
    pub(crate) logprobs: Option<Vec<Option<f32>>>,
    pub(crate) drawn: Option<Drawn>,
    /// Per position of prompt (if scored) and continuation; empty where none were asked for, and
    /// at position 0.
    pub(crate) top: Vec<Vec<(u32, f32)>>,
}

/// A continuation.
#[derive(Debug, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) token_ids: Vec<u32>,
    pub(crate) logprobs: Vec<f32>,
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
}

/// The waiting line.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    capacity: usize,
}

struct Waiting {
    tickets: VecDeque<Ticket>,
    is_open: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                tickets: VecDeque::new(),
                is_open: true,
            }),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Adds all tickets of a request, or none.
    ///
    /// # Errors
    /// 429 where they do not fit, 503 after [`Queue::close`].
    pub(crate) fn push(&self, tickets: Vec<Ticket>) -> Result<(), ApiError> {
        let mut waiting = self.lock();
        if !waiting.is_open {
            return Err(ApiError::stopping());
        }
        if waiting.tickets.len() + tickets.len() > self.capacity {
            // Those of clients that are gone hold no place.
            waiting
                .tickets
                .retain(|ticket| ticket.is_wanted.load(Ordering::Relaxed));
        }
        if waiting.tickets.len() + tickets.len() > self.capacity {
            return Err(ApiError::busy(
                429,
                format!("{} prompts are waiting already", waiting.tickets.len()),
            )
            .hint("send the request again after the time in `Retry-After`"));
        }
        waiting.tickets.extend(tickets);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// The first tickets that are still wanted, `n` at most; `None` once the queue is closed and
    /// empty.
    pub(crate) fn take(&self, n: usize) -> Option<Vec<Ticket>> {
        let mut waiting = self.lock();
        loop {
            let taken = first(&mut waiting, n.max(1));
            if !taken.is_empty() {
                return Some(taken);
            }
            if !waiting.is_open {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, without waiting: none may be there.
    pub(crate) fn take_now(&self, n: usize) -> Vec<Ticket> {
        first(&mut self.lock(), n)
    }

    /// Takes no more tickets; those that wait are still answered.
    pub(crate) fn close(&self) {
        self.lock().is_open = false;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first(waiting: &mut Waiting, n: usize) -> Vec<Ticket> {
    let mut taken = Vec::new();
    while taken.len() < n
        && let Some(ticket) = waiting.tickets.pop_front()
    {
        if ticket.is_wanted.load(Ordering::Relaxed) {
            taken.push(ticket);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn tickets(n: usize) -> Vec<Ticket> {
        let (answers, _) = channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let ticket = |choice| Ticket {
            choice,
            model: 0,
            token_ids: vec![1],
            score: true,
            generate: None,
            n_top: 0,
            wants_tokens: false,
            is_wanted: is_wanted.clone(),
            answers: answers.clone(),
        };
        (0..n).map(ticket).collect()
    }

    #[test]
    fn the_line_is_bounded_and_in_order() {
        let queue = Queue::new(4);
        queue.push(tickets(3)).unwrap();
        let error = queue.push(tickets(2)).unwrap_err();
        assert_eq!((error.status, error.retry_after), (429, Some(1)));
        queue.push(tickets(1)).unwrap();
        let choices = |taken: Vec<Ticket>| taken.iter().map(|t| t.choice).collect::<Vec<_>>();
        assert_eq!(choices(queue.take(2).unwrap()), [0, 1]);
        assert_eq!(choices(queue.take(9).unwrap()), [2, 0]);
    }

    #[test]
    fn clients_that_are_gone_hold_no_place_and_cost_nothing() {
        let queue = Queue::new(2);
        let gone = tickets(2);
        gone[0].is_wanted.store(false, Ordering::Relaxed);
        queue.push(gone).unwrap();
        queue.push(tickets(2)).unwrap();
        assert_eq!(queue.take(9).unwrap().len(), 2);
        let gone = tickets(1);
        gone[0].is_wanted.store(false, Ordering::Relaxed);
        queue.push(gone).unwrap();
        queue.close();
        assert!(queue.take(9).is_none());
        assert_eq!(queue.push(tickets(1)).unwrap_err().status, 503);
    }
}
