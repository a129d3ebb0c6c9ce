//! Intervals, paired tests and multiple-comparison control as pure functions.
