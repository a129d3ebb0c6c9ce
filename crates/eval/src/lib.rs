//! From requests to responses: the runner, and the primitives that read and write JSON lines.

pub mod jsonl;
pub mod primitive;
pub mod run;
