//! From requests to responses: the runner, and the primitives that read and write JSON lines.

pub mod run;
