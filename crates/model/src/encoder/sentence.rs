//! Sentence encoders: a text as one vector, whatever computes the hidden states.

use std::path::Path;
use std::sync::Arc;

use isogloss_record::{Encoded, Fingerprint, Response, Usage};

use super::config::{canonical, kind_of};
use super::forward::TokenText;
use super::layout::{Layout, Normalization, Pooling, pool};
use super::network::{EncoderNetwork, check_ids, isa};
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::hf_config::{architecture, read_json};
use crate::checkpoint::settings::Settings;
use crate::checkpoint::{Checkpoint, Config, Kind};
use crate::engine::{EngineError, EngineOptions, LoadError, Network};
use crate::kernel::{Isa, Rows};
use crate::ports::Embedder;
use crate::seq2seq::alone::T5Encoder;
use crate::seq2seq::config as t5;
use crate::tokenizer::Tokenizer;

/// How to make vectors where the model's own folder does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmbedOptions {
    /// `None`: as the folder says; else the mean for encoders, the last token for decoders.
    pub pooling: Option<Pooling>,
    /// `None`: as the folder says; else unit length.
    pub normalization: Option<Normalization>,
}

/// A sentence encoder on this machine: BERT and kin, the encoder of a T5, or a decoder.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::atomic::AtomicBool;
///
/// use isogloss_model::encoder::{EmbedOptions, SentenceEncoder};
/// use isogloss_model::engine::EngineOptions;
/// use isogloss_model::ports::Embedder;
/// use isogloss_model::RunSettings;
///
/// let (how, options) = (EmbedOptions::default(), EngineOptions::default());
/// let model = SentenceEncoder::open("multilingual-e5-small".as_ref(), "e5", how, &options)?;
/// let text = model.encode("query: ภาษาไทย")?;
/// let cancel = AtomicBool::new(false);
/// let settings = RunSettings { batch_size: 8, share_prefixes: false, cancel: &cancel };
/// model.embed(&[text], &settings, &mut |i, vector| {
///     assert_eq!((i, vector.len()), (0, model.n_dims()));
/// })?;
/// # Ok(())
/// # }
/// ```
pub struct SentenceEncoder {
    body: Body,
    layout: Layout,
    tokenizer: Option<Tokenizer>,
    fingerprint: Fingerprint,
    n_dims: usize,
    vocab_size: usize,
    limit: usize,
}

enum Body {
    Encoder(Box<EncoderNetwork>),
    T5(Box<T5Encoder>),
    Decoder { network: Box<Network>, isa: Isa },
}

impl SentenceEncoder {
    /// Opens a Hugging Face or sentence-transformers folder, or a decoder's `.gguf` file. A folder
    /// without a tokenizer opens, and answers only what is given in token ids.
    ///
    /// `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(
        path: &Path,
        name: &str,
        how: EmbedOptions,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let transformer = transformer_of(path);
        let family = match Kind::of(&transformer)? {
            Kind::Gguf => Family::Decoder,
            Kind::Folder => family_of(&transformer)?,
        };
        let tokenizer = Tokenizer::open_if_any(&transformer)?;
        match family {
            Family::Encoder => {
                let mut folder = Folder::open(&transformer, &canonical)?;
                let d_model = super::config::parse(&folder.settings(), folder.n_tensors())?.d_model;
                let layout = layout(path, d_model, how, Pooling::Mean)?;
                layout
                    .files
                    .iter()
                    .try_for_each(|file| folder.add_file(file))?;
                let network = EncoderNetwork::of_folder(folder, name, options)?;
                let limit = network.config().context_length();
                let vocab_size = network.config().vocab_size;
                let fingerprint = network.fingerprint().clone();
                let body = Body::Encoder(Box::new(network));
                Self::of_parts(
                    body,
                    layout,
                    tokenizer,
                    fingerprint,
                    d_model,
                    limit,
                    vocab_size,
                )
            }
            Family::T5 => {
                let mut folder = Folder::open(&transformer, &|name| Some(name.to_owned()))?;
                let d_model = t5::parse(&folder.settings(), folder.n_tensors())?.d_model;
                let layout = layout(path, d_model, how, Pooling::Mean)?;
                layout
                    .files
                    .iter()
                    .try_for_each(|file| folder.add_file(file))?;
                let network = T5Encoder::of_folder(folder, name, options)?;
                let c = network.config();
                let (limit, vocab_size) = (c.context_length, c.vocab_size);
                let fingerprint = network.fingerprint().clone();
                let body = Body::T5(Box::new(network));
                Self::of_parts(
                    body,
                    layout,
                    tokenizer,
                    fingerprint,
                    d_model,
                    limit,
                    vocab_size,
                )
            }
            Family::Decoder => {
                let checkpoint = Checkpoint::open(&transformer)?;
                let c: Config = checkpoint.config.clone();
                let layout = layout(path, c.d_model, how, Pooling::Last)?;
                let options = EngineOptions {
                    pool_after_norm: true,
                    ..options.clone()
                };
                let checkpoint = Arc::new(checkpoint);
                let network = Network::load(&c, checkpoint.clone(), name, None, &options);
                let network = network.map_err(|source: LoadError| EngineError::Load {
                    name: name.to_owned(),
                    source,
                })?;
                let mut fingerprint = network.install(|| checkpoint.fingerprint(name));
                fingerprint.hash = layout.hash(&fingerprint.hash)?;
                options.compute.name().clone_into(&mut fingerprint.compute);
                let isa = isa(&options);
                let network = Box::new(network);
                let body = Body::Decoder { network, isa };
                let (limit, vocab_size) = (c.context_length, c.vocab_size);
                Self::of_parts(
                    body,
                    layout,
                    tokenizer,
                    fingerprint,
                    c.d_model,
                    limit,
                    vocab_size,
                )
            }
        }
    }

    fn of_parts(
        body: Body,
        layout: Layout,
        tokenizer: Option<Tokenizer>,
        fingerprint: Fingerprint,
        d_model: usize,
        limit: usize,
        vocab_size: usize,
    ) -> Result<Self, EngineError> {
        if let Some(tokenizer) = &tokenizer {
            tokenizer.check_fits(vocab_size)?;
        }
        Ok(Self {
            n_dims: layout.n_dims(d_model),
            vocab_size,
            limit: layout.max_tokens.map_or(limit, |n| n.min(limit)),
            body,
            layout,
            tokenizer,
            fingerprint,
        })
    }

    /// Longest text in tokens, special tokens included.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How the states of the tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.layout.pooling
    }

    fn embed_decoder(
        &self,
        network: &Network,
        isa: Isa,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_vector: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError> {
        let jobs: Vec<Encoded> = texts.iter().map(|text| pooled_job(&text.ids)).collect();
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        let no_text = |_: &[u32]| String::new();
        let usage = network.run(&jobs, settings, &[], &no_text, &mut |i, response| {
            if let Response::Score {
                pooled: Some(mut pooled),
                ..
            } = response
            {
                vectors[i] = match self.layout.pooling {
                    Pooling::Mean => pooled.mean.pop(),
                    _ => pooled.last.pop(),
                };
            }
        })?;
        for (i, vector) in vectors.into_iter().enumerate() {
            let vector = vector.expect("pooled states were asked for");
            on_vector(i, network.install(|| self.layout.finish(isa, vector)));
        }
        Ok(usage)
    }
}

impl Embedder for SentenceEncoder {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn n_dims(&self) -> usize {
        self.n_dims
    }

    fn encode(&self, text: &str) -> Result<TokenText, BackendError> {
        encode(&self.fingerprint.name, self.tokenizer.as_ref(), text, None)
    }

    fn check(&self, text: &TokenText) -> Result<(), BackendError> {
        let name = &self.fingerprint.name;
        let of_decoder = matches!(self.body, Body::Decoder { .. });
        if of_decoder && matches!(self.layout.pooling, Pooling::First | Pooling::Max) {
            return Err(BackendError::Unsupported {
                model: name.clone(),
                what: "pool by the first token or the maximum: it is a decoder".into(),
            });
        }
        check_ids(name, &text.ids, self.vocab_size, self.limit)?;
        match &self.body {
            Body::Encoder(network) => network.check(text),
            Body::T5(_) | Body::Decoder { .. } => Ok(()),
        }
    }

    fn embed(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_vector: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError> {
        texts.iter().try_for_each(|text| self.check(text))?;
        let pooled = |rows: std::ops::Range<usize>, x: &Rows| {
            pool(self.layout.pooling, rows.map(|row| x.row(row)))
        };
        match &self.body {
            Body::Encoder(network) => network.for_each(texts, settings, &mut |i, rows, x| {
                let vector = pooled(rows, x);
                let (layout, isa) = (&self.layout, network.isa());
                on_vector(i, network.install(|| layout.finish(isa, vector)));
                Ok(())
            }),
            Body::T5(network) => network.for_each(texts, settings, &mut |i, rows, x| {
                let vector = pooled(rows, x);
                let (layout, isa) = (&self.layout, network.isa());
                on_vector(i, network.install(|| layout.finish(isa, vector)));
            }),
            Body::Decoder { network, isa } => {
                self.embed_decoder(network, *isa, texts, settings, on_vector)
            }
        }
    }
}

/// A job that asks a decoder for the pooled states of a text and for nothing else.
pub(crate) fn pooled_job(ids: &[u32]) -> Encoded {
    Encoded::Score {
        token_ids: ids.to_vec(),
        n_context: ids.len(),
        scored_from: ids.len(),
        n_pooled: ids.len(),
    }
}

/// A text or a pair in exact ids, with special tokens.
pub(crate) fn encode(
    name: &str,
    tokenizer: Option<&Tokenizer>,
    text: &str,
    second: Option<&str>,
) -> Result<TokenText, BackendError> {
    let cannot = |what: &str| BackendError::Unsupported {
        model: name.to_owned(),
        what: what.to_owned(),
    };
    let tokenizer = tokenizer.ok_or_else(|| cannot("encode text: it has no tokenizer"))?;
    let (ids, types) = tokenizer
        .encode_with_specials(text, second)
        .ok_or_else(|| cannot("take a pair of texts: its tokenizer does not join two"))?;
    Ok(TokenText {
        ids,
        // The first text's type is 0, which is what no types mean.
        types: if types.iter().all(|kind| *kind == 0) {
            Vec::new()
        } else {
            types
        },
    })
}

enum Family {
    Encoder,
    T5,
    Decoder,
}

fn family_of(folder: &Path) -> Result<Family, EngineError> {
    let path = folder.join("config.json");
    let json = read_json(&path)?;
    let settings = Settings {
        path: &path,
        json: &json,
    };
    let architecture = architecture(&settings)?;
    Ok(if kind_of(architecture).is_some() {
        Family::Encoder
    } else if t5::kind_of(architecture).is_some() {
        Family::T5
    } else {
        Family::Decoder
    })
}

/// Where the transformer lies: older sentence-transformers folders have it in a folder of its own.
fn transformer_of(path: &Path) -> std::path::PathBuf {
    let inside = path.join("0_Transformer");
    if path.join("modules.json").is_file() && inside.join("config.json").is_file() {
        inside
    } else {
        path.to_owned()
    }
}

/// The folder's own layout, changed where `how` says.
fn layout(
    path: &Path,
    d_model: usize,
    how: EmbedOptions,
    default: Pooling,
) -> Result<Layout, EngineError> {
    let own = Layout::read(path, d_model)?;
    let plain = || Layout::plain(path, default, Normalization::Unit);
    let mut layout = own.unwrap_or_else(plain);
    if let Some(pooling) = how.pooling {
        layout.pooling = pooling;
    }
    if let Some(normalization) = how.normalization {
        layout.set_normalization(normalization);
    }
    Ok(layout)
}
