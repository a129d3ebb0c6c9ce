//! Tasks of attention: some query rows and one head each, spread over the threads.

use std::cell::RefCell;

use rayon::prelude::*;

/// Query rows that share a pass over the keys.
pub(super) const TASK_ROWS: usize = 48;

/// Buffers of a thread, reused from task to task.
#[derive(Default)]
pub(super) struct Task {
    /// `[row][d_head]`, scaled.
    pub(super) queries: Vec<f32>,
    /// Scores, then weights, of each row.
    pub(super) scores: Vec<f32>,
    /// `[row][d_value]`, not yet divided by the row's sum.
    pub(super) mixed: Vec<f32>,
    pub(super) sums: Vec<f32>,
}

thread_local! {
    static TASK: RefCell<Task> = RefCell::default();
}

impl Task {
    /// Makes room; what the buffers hold is unspecified.
    pub(super) fn grow(&mut self, n_queries: usize, n_scores: usize, n_mixed: usize) {
        let buffers = [&mut self.queries, &mut self.scores, &mut self.mixed];
        for (buffer, n) in buffers.into_iter().zip([n_queries, n_scores, n_mixed]) {
            if buffer.len() < n {
                buffer.resize(n, 0.0);
            }
        }
    }
}

/// Calls `run` on every task with the buffers of its thread.
pub(super) fn each_task<T: Sync>(tasks: &[T], run: impl Fn(&T, &mut Task) + Sync) {
    let run = |task: &T| TASK.with_borrow_mut(|buffers| run(task, buffers));
    if rayon::current_num_threads() == 1 || tasks.len() == 1 {
        tasks.iter().for_each(run);
    } else {
        tasks.par_iter().for_each(run);
    }
}
