//! The survey: which languages does a model really serve, and how sure is that?
//!
//! ```text
//! texts -> items -> requests -> answers -> measures -> verdicts -> SurveyResults
//! ```
//!
//! [`survey`] does all of it for models, languages, texts and settings; what each measure is stands
//! on its own page in [`measures`], where the lines are in [`policy`].

pub mod comparable;
pub mod compare;
pub mod decide;
pub mod diff;
pub mod items;
mod known;
pub mod measures;
pub mod plan;
pub mod policy;
pub mod session;
pub mod text;
pub mod tokens;
pub mod validate;

mod error;

pub use diff::{DiffError, atlas_diff};
pub use error::SurveyError;
pub use known::known_texts;
pub use plan::{ItemCount, Plan, Settings, TOUR_LANGUAGES, plan};
pub use policy::Policy;
pub use session::listen::{Hearing, Identify, ReliabilityOf};
pub use session::texts::{ParallelSource, SurveyTexts, WordSource};
pub use session::{Progress, Survey, Surveyed, add_samples, hearing, survey};
