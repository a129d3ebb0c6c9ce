//! Models by name: hub downloads and the built-in short names.
//!
//! ```text
//! "path" | "org/name[@revision][:file.gguf]" | "smollm2-135m"
//!   -> ModelSpec -> resolve -> ModelFiles { path, name, license } -> isogloss-model
//! ```

mod builtin;
mod error;
mod hub;
mod installer;
mod progress;
mod resolve;
pub mod settings;
mod spec;

pub use builtin::{Builtin, Part};
pub use error::ClientError;
pub use installer::{Installer, Kind, ORDINARY};
pub use progress::{OnProgress, Progress};
pub use resolve::{ModelFiles, resolve};
pub use settings::{Settings, Token};
pub use spec::{HubId, ModelSpec};
