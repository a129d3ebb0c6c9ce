//! Models by name: hub downloads, the built-in short names, models behind servers.
//!
//! ```text
//! "path" | "org/name[@revision][:file.gguf]" | "smollm2-135m" [+ "adapter folder"]
//!   -> ModelSpec -> resolve -> ModelFiles { path, name, license, adapter } -> isogloss-model
//! "http://host:port/v1#model"
//!   -> ServerAddress -> ServerModel: Backend
//! ```

mod builtin;
mod error;
mod hub;
mod installer;
mod progress;
mod resolve;
pub mod server;
pub mod settings;
mod spec;

pub use builtin::{Builtin, Part};
pub use error::ClientError;
pub use installer::{Installer, Kind, ORDINARY};
pub use progress::{OnProgress, Progress};
pub use resolve::{ModelFiles, resolve};
pub use server::{ServerAddress, ServerError, ServerModel};
pub use settings::{ServerSettings, Settings, Token};
pub use spec::{HubId, ModelSpec};
