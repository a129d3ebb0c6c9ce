//! The exposure ladder: models that saw 0, 10⁴, 10⁵, 10⁶ and 10⁷ tokens of a language must come out in
//! that order.
//!
//! ```text
//! aligned lines + words -> split (learned | held out) -> tokenizer
//!   -> a model for each rung: language i of model m saw rung (m + 2i) mod n -> survey of held-out lines
//!   -> per language and measure: values by rung, wrong orders, ends, Kendall's tau
//! ```
//!
//! All models read as much of the reference language, and each of them holds every language at
//! another rung, so five models are a ladder for each of up to five languages. The models are small
//! Llamas trained from nothing with AdamW; words of the lexicon are among what is seen.

pub mod exposure;
mod learn;
mod order;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::CheckpointError;
use isogloss_model::tokenizer::learn::byte_level_bpe;
use isogloss_model::tokenizer::{Tokenizer, TokenizerError};
use isogloss_model::train::{Shape, TrainError};
use isogloss_record::files::{self, FileError};
use isogloss_record::{Explain, Lang, Seed};
use serde::{Deserialize, Serialize};

use exposure::{Corpus, Mixture};
pub use learn::{Learning, Schedule};
pub use order::{LadderResults, LanguageLadder, Rung, order};

/// What the ladder is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderSettings {
    /// Languages, at most as many as there are rungs.
    pub languages: Vec<Lang>,
    /// Tokens of a language that are seen, from the lowest rung to the highest.
    pub rungs: Vec<u64>,
    /// Tokens of the reference language that every model sees.
    pub n_reference: u64,
    /// Size of the models.
    pub shape: Shape,
    /// How they are trained.
    pub schedule: Schedule,
    /// Seed of weights, order and the choice of held-out lines.
    pub seed: Seed,
}

impl LadderSettings {
    /// 0, 10⁴, 10⁵, 10⁶, 10⁷ tokens; models of 1.3 million weights.
    pub fn new(languages: Vec<Lang>, seed: Seed) -> Self {
        Self {
            languages,
            rungs: vec![0, 10_000, 100_000, 1_000_000, 10_000_000],
            n_reference: 4_000_000,
            shape: Shape {
                vocab_size: 4_096,
                d_model: 128,
                n_layers: 4,
                n_heads: 4,
                d_ff: 352,
                context_length: 256,
            },
            schedule: Schedule {
                n_step_tokens: 2_048,
                learning_rate: 3e-3,
            },
            seed,
        }
    }

    /// How many tokens of its languages model `m` sees.
    pub fn budgets(&self, model: usize) -> BTreeMap<Lang, u64> {
        let n = self.rungs.len();
        let rung = |i: usize| self.rungs[(model + 2 * i) % n];
        let languages = self.languages.iter().enumerate();
        languages.map(|(i, &lang)| (lang, rung(i))).collect()
    }

    fn check(&self, corpus: &Corpus) -> Result<(), LadderError> {
        let wrong = |what: String| Err(LadderError::Settings { what });
        let n = self.rungs.len();
        if n < 2 || n.is_multiple_of(2) {
            return wrong(format!("{n} rungs, expected an odd number from 3 up"));
        }
        if self.languages.is_empty() || self.languages.len() > n {
            let found = self.languages.len();
            return wrong(format!("{found} languages, expected 1 to {n}, one a rung"));
        }
        for lang in &self.languages {
            if corpus.pairs.get(lang).is_none_or(Vec::is_empty) {
                return wrong(format!("there are no lines in `{lang}` to learn from"));
            }
        }
        Ok(())
    }
}

/// Why a ladder cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LadderError {
    /// Settings that cannot be followed.
    #[error("the ladder: {what}")]
    Settings {
        /// What does not fit.
        what: String,
    },
    /// A folder that holds another ladder.
    #[error("`{}` holds a ladder with other settings or texts", .path.display())]
    Other {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the ladder that is damaged.
    #[error("`{}` cannot be read", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A model cannot be read back.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tokenizer cannot be learned or used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for LadderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Settings { .. } => Some("see `isogloss survey validate ladder --help`".into()),
            Self::Other { .. } => Some("write to a new `--out`, or repeat its own settings".into()),
            Self::Json { .. } => Some("delete the file: that model is trained again".into()),
            Self::Train(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
            Self::Tokenizer(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// Where the models of a ladder lie, lowest index first.
pub fn folders(out: &Path, settings: &LadderSettings) -> Vec<PathBuf> {
    (0..settings.rungs.len())
        .map(|model| out.join(format!("model-{model}")))
        .collect()
}

/// Trains all models of a ladder into `out`, or goes on where it was stopped. `false`: `stop` was
/// raised before the end.
///
/// # Errors
/// [`LadderError`].
pub fn climb(
    out: &Path,
    corpus: &Corpus,
    settings: &LadderSettings,
    threads: Option<NonZeroUsize>,
    stop: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, Learning),
) -> Result<bool, LadderError> {
    settings.check(corpus)?;
    files::create_dir_all(out)?;
    take(out, corpus, settings)?;
    let tokenizer = tokenizer(out, corpus, settings)?;
    for (model, folder) in folders(out, settings).iter().enumerate() {
        let json = files::read(&out.join("tokenizer.json"))?;
        files::create_dir_all(folder)?;
        files::write_atomic(&folder.join("tokenizer.json"), &json)?;
        let mixture = Mixture::new(
            corpus,
            &tokenizer,
            &settings.budgets(model),
            settings.n_reference,
            settings.seed,
        )?;
        let run = learn::Run {
            mixture: &mixture,
            tokenizer: &tokenizer,
            shape: &settings.shape,
            schedule: &settings.schedule,
            seed: settings.seed,
            threads,
        };
        let is_done = learn::learn(folder, &run, stop, &mut |learning| {
            on_progress(model, learning);
        })?;
        if !is_done {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the folder this ladder's, or checks that it is.
fn take(out: &Path, corpus: &Corpus, settings: &LadderSettings) -> Result<(), LadderError> {
    let texts = serde_json::to_vec(&(&corpus.pairs, &corpus.words, &corpus.lines))
        .expect("texts are plain values");
    let own = serde_json::json!({
        "settings": settings, "texts": blake3::hash(&texts).to_hex().to_string(),
    });
    let path = out.join("ladder.json");
    if path.is_file() {
        let text = files::read_to_string(&path)?;
        let found: serde_json::Value =
            serde_json::from_str(&text).map_err(|source| LadderError::Json {
                path: path.clone(),
                source,
            })?;
        if found != own {
            return Err(LadderError::Other {
                path: out.to_owned(),
            });
        }
        return Ok(());
    }
    let text = serde_json::to_string_pretty(&own).expect("settings are plain values");
    Ok(files::write_atomic(&path, format!("{text}\n").as_bytes())?)
}

/// The tokenizer that all models share: learned from all texts, each language as much as it has.
fn tokenizer(
    out: &Path,
    corpus: &Corpus,
    settings: &LadderSettings,
) -> Result<Tokenizer, LadderError> {
    let path = out.join("tokenizer.json");
    if !path.is_file() {
        let languages = || settings.languages.iter();
        let pairs = languages().filter_map(|lang| corpus.pairs.get(lang));
        let words = languages().filter_map(|lang| corpus.words.get(lang));
        let texts = (pairs.chain(words).flatten().map(|(text, _)| text)).chain(&corpus.lines);
        let json = byte_level_bpe(texts.map(String::as_str), settings.shape.vocab_size)?;
        files::write_atomic(&path, json.as_bytes())?;
    }
    let json = files::read(&path)?;
    Ok(Tokenizer::of_json_bytes(&json, serde_json::Value::Null)?)
}
