//! Text to token ids and back, without weights.
//!
//! ```text
//! tokenizer.json | tokenizer.model | GGUF metadata -> Tokenizer -> ids -> crate::encode -> engine
//! ```
//!
//! Special tokens that occur inside a text become their ids, as `transformers` does by default;
//! nothing is stripped, cut or padded. Only [`Tokenizer::encode_with_bos`] and
//! [`Tokenizer::encode_with_specials`] add tokens.
//!
//! ```no_run
//! # fn main() -> Result<(), isogloss_model::tokenizer::TokenizerError> {
//! use isogloss_model::tokenizer::Tokenizer;
//! let tokenizer = Tokenizer::open(std::path::Path::new("gemma-3-270m.gguf"))?;
//! let ids = tokenizer.tokenize("ภาษาไทย");
//! assert_eq!(tokenizer.decode(&ids), "ภาษาไทย");
//! # Ok(())
//! # }
//! ```

mod added;
mod charsmap;
mod error;
mod folder;
mod gguf;
mod gguf_pre;
mod hf;
pub mod learn;
mod longest;
mod merges;
mod normalizer;
mod protobuf;
mod specials;
mod spm;
mod spm_bpe;
mod spm_model;
mod unigram;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as HfTokenizer;

pub use error::TokenizerError;

use crate::checkpoint::gguf::Value;
use crate::checkpoint::gguf_config::Metadata;
use crate::checkpoint::mapped::MappedFile;
use crate::checkpoint::{CheckpointError, Kind};
use longest::LongestMatch;
use spm::Spm;

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    engine: Engine,
    n_vocab: usize,
    /// One more than the largest id that ordinary text can become.
    n_ordinary: usize,
    bos: Option<u32>,
    adds_bos: bool,
    /// Put after each text of a whole input, and before the second one.
    after: Vec<u32>,
    between: Vec<u32>,
    eos_ids: Vec<u32>,
    special_ids: BTreeSet<u32>,
    context_length: Option<usize>,
    /// Chat templates by name.
    templates: BTreeMap<String, String>,
    /// Texts of the begin and the end token; empty if there is none.
    bos_eos_texts: (String, String),
    fingerprint: String,
}

/// What does the work.
#[derive(Debug)]
pub(crate) enum Engine {
    /// The `tokenizers` crate.
    Hf {
        tokenizer: Box<HfTokenizer>,
        pieces: Pieces,
    },
    /// SentencePiece by hand.
    Spm(Spm),
    /// RWKV's.
    Longest(LongestMatch),
}

/// How pieces spell text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// By letters for bytes: `Ġ` is a space.
    ByteLetters,
    /// As it is, `▁` for a space.
    Letters,
    /// A word each, but `##` goes on the one before.
    Words,
    /// As it is, `</w>` for a space after a word.
    WordEnds,
}

/// What a folder's file of pieces says; the rest of a [`Tokenizer`] stands beside it.
pub(crate) struct Parts {
    engine: Engine,
    n_ordinary: usize,
    bos: Option<u32>,
    adds_bos: bool,
    eos: Option<u32>,
    after: Vec<u32>,
    between: Vec<u32>,
    special_ids: BTreeSet<u32>,
}

impl Tokenizer {
    /// Opens the tokenizer of a model: a `.gguf` file, or a folder with `tokenizer.json` or a
    /// SentencePiece model. Weights are neither needed nor read.
    ///
    /// # Errors
    /// [`TokenizerError::None`] if the model has none; see the other variants.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        match Kind::of(path)? {
            Kind::Folder => folder::open(path),
            Kind::Gguf => open_gguf(path),
        }
    }

    /// The tokenizer of a GGUF file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn of_gguf_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, TokenizerError> {
        of_gguf(&MappedFile::owned(Path::new(name), bytes))
    }

    /// The contents of `tokenizer.json` that are in memory, with those of `tokenizer_config.json`
    /// (`null`: none).
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn of_json_bytes(bytes: &[u8], config: serde_json::Value) -> Result<Self, TokenizerError> {
        let (path, settings) = (Path::new("tokenizer.json"), settings_of(config));
        let parts = hf::of_json(path, bytes, &settings)?;
        Ok(folder::tokenizer(path, bytes, parts, &settings))
    }

    /// As [`Tokenizer::of_json_bytes`], of a SentencePiece model.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn of_sentence_piece_bytes(
        bytes: &[u8],
        config: serde_json::Value,
    ) -> Result<Self, TokenizerError> {
        let (path, settings) = (Path::new("tokenizer.model"), settings_of(config));
        let parts = spm_model::of_bytes(path, bytes, &settings)?;
        Ok(folder::tokenizer(path, bytes, parts, &settings))
    }

    /// As [`Tokenizer::open`], but `None` where the model has no tokenizer.
    pub fn open_if_any(path: &Path) -> Result<Option<Self>, TokenizerError> {
        match Self::open(path) {
            Ok(tokenizer) => Ok(Some(tokenizer)),
            Err(TokenizerError::None { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ids of a text as it is: no begin-of-sequence token. An empty text has none.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        match &self.engine {
            Engine::Spm(spm) => spm.tokenize(text),
            Engine::Longest(longest) => {
                let tokens = longest.tokenize_with_offsets(text);
                tokens.into_iter().map(|(id, _)| id).collect()
            }
            Engine::Hf { tokenizer, .. } => tokenizer
                .encode_fast(text, false)
                .expect("models without an unknown token are refused when they are opened")
                .get_ids()
                .to_vec(),
        }
    }

    /// As [`Tokenizer::tokenize`], with the bytes of `text` that each token stands for.
    ///
    /// In order, but not necessarily a partition: a token of a part of a letter has the whole
    /// letter, and what a normalizer drops belongs to no token.
    pub fn tokenize_with_offsets(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        match &self.engine {
            Engine::Spm(spm) => spm.tokenize_with_offsets(text),
            Engine::Longest(longest) => longest.tokenize_with_offsets(text),
            Engine::Hf { tokenizer, .. } => {
                // By letters, as in Python: the crate's offsets in bytes may lie within a letter.
                let encoding = tokenizer
                    .encode_char_offsets(text, false)
                    .expect("models without an unknown token are refused when they are opened");
                let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                starts.push(text.len());
                let byte = |letter: usize| starts.get(letter).copied().unwrap_or(text.len());
                let range =
                    |(start, end): &(usize, usize)| byte(*start)..byte(*end).max(byte(*start));
                let ids = encoding.get_ids().iter().copied();
                ids.zip(encoding.get_offsets().iter().map(range)).collect()
            }
        }
    }

    /// Ids of a text with the begin-of-sequence token, if this tokenizer adds one.
    pub fn encode_with_bos(&self, text: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = self.added_bos().into_iter().collect();
        ids.extend(self.tokenize(text));
        ids
    }

    /// Begin-of-sequence token, whether or not it is added.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The begin-of-sequence token, if this tokenizer adds it before a text.
    pub fn added_bos(&self) -> Option<u32> {
        self.bos.filter(|_| self.adds_bos)
    }

    /// Tokens that end a generation, ascending; may be empty.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// One more than the largest id.
    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    /// Longest sequence of the model in tokens, as its settings state it.
    pub fn context_length(&self) -> Option<usize> {
        self.context_length
    }

    /// Source of the model's chat template, the one named `default` if it has several.
    pub fn chat_template(&self) -> Option<&str> {
        self.templates.get("default").map(String::as_str)
    }

    /// Sources of all chat templates, by name (`default`, `tool_use`, `rag`).
    pub fn chat_templates(&self) -> &BTreeMap<String, String> {
        &self.templates
    }

    /// Texts of the begin-of-sequence and the end-of-sequence token, as templates write them;
    /// empty if there is none.
    pub fn bos_eos_texts(&self) -> (&str, &str) {
        (&self.bos_eos_texts.0, &self.bos_eos_texts.1)
    }

    /// Content hash of everything that decides ids, lower-case hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a token is no text (begin, end, turn markers).
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// Text of ids as it continues a text: special tokens are left out, bytes that are not UTF-8
    /// become U+FFFD. A leading space stays.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for id in ids.iter().filter(|id| !self.is_special(**id)) {
            bytes.extend(self.bytes_of(*id));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for; of a special token its name, of an unknown id none.
    pub fn bytes_of(&self, id: u32) -> Vec<u8> {
        let (piece, pieces) = match &self.engine {
            Engine::Hf { tokenizer, pieces } => {
                let added = tokenizer.get_added_vocabulary().simple_id_to_token(id);
                match (added, tokenizer.id_to_token(id)) {
                    (Some(text), _) => return text.into_bytes(),
                    (None, Some(piece)) => (piece, *pieces),
                    (None, None) => return Vec::new(),
                }
            }
            Engine::Spm(spm) => match spm.text(id) {
                Some(piece) => (piece.to_owned(), Pieces::Letters),
                None => return Vec::new(),
            },
            Engine::Longest(longest) => return longest.bytes_of(id).unwrap_or_default().to_vec(),
        };
        match pieces {
            Pieces::ByteLetters => hf::bytes_of_letters(&piece),
            Pieces::Letters => match spm::byte_of(&piece) {
                Some(byte) => vec![byte],
                None => piece.replace(normalizer::SPACE, " ").into_bytes(),
            },
            Pieces::Words => match piece.strip_prefix("##") {
                Some(rest) => rest.as_bytes().to_vec(),
                None => format!(" {piece}").into_bytes(),
            },
            Pieces::WordEnds => piece.replace("</w>", " ").into_bytes(),
        }
    }

    /// Tokens as a reader can see them: their text, or `<0xE0>` for bytes that are no text alone.
    pub fn pieces(&self, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|id| show(&self.bytes_of(*id))).collect()
    }

    /// Checks that ordinary text has rows in an embedding of `n_rows`.
    ///
    /// An added token may lie beyond (`<image_soft_token>` of Gemma 3's text models does): a text
    /// that holds it is refused when it is encoded.
    ///
    /// # Errors
    /// [`TokenizerError::DoesNotFit`].
    pub fn check_fits(&self, n_rows: usize) -> Result<(), TokenizerError> {
        if self.n_ordinary > n_rows {
            return Err(TokenizerError::DoesNotFit {
                path: self.path.clone(),
                n_tokens: self.n_ordinary,
                n_rows,
            });
        }
        Ok(())
    }
}

fn settings_of(tokenizer: serde_json::Value) -> folder::Settings {
    folder::Settings {
        tokenizer,
        ..folder::Settings::default()
    }
}

/// One hexadecimal digit, 0 ≤ `nibble` < 16.
fn hex(nibble: u8) -> &'static str {
    let at = usize::from(nibble);
    &"0123456789ABCDEF"[at..=at]
}

fn show(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(["<0x", hex(byte >> 4), hex(byte & 15), ">"]);
        }
    }
    text
}

fn open_gguf(path: &Path) -> Result<Tokenizer, TokenizerError> {
    of_gguf(&MappedFile::open(path).map_err(CheckpointError::from)?)
}

fn of_gguf(file: &MappedFile) -> Result<Tokenizer, TokenizerError> {
    let path = file.path.as_path();
    let gguf = crate::checkpoint::gguf::parse(file.bytes(), path)?;
    let metadata = Metadata {
        path,
        values: &gguf.metadata,
    };
    if !gguf.metadata.contains_key("tokenizer.ggml.model") {
        return Err(TokenizerError::None {
            path: path.to_owned(),
            expected: "metadata `tokenizer.ggml.model`".into(),
        });
    }
    let kind = metadata.string("tokenizer.ggml.model")?;
    let vocabulary = gguf::Vocabulary::of(&metadata)?;
    let (engine, adds_bos_by_default) = match kind {
        "llama" => (vocabulary.spm(&metadata)?, true),
        "gpt2" => {
            let name = match gguf.metadata.get("tokenizer.ggml.pre") {
                Some(Value::String(name)) => name,
                _ => "default",
            };
            let pre = gguf_pre::pre_tokenizer(name, path)?;
            (vocabulary.bpe(pre)?, pre.adds_bos)
        }
        "bert" => (vocabulary.word_piece(&metadata)?, true),
        "t5" => (vocabulary.unigram(&metadata)?, false),
        "rwkv" => (vocabulary.longest_match()?, false),
        "none" | "no_vocab" => {
            return Err(TokenizerError::None {
                path: path.to_owned(),
                expected: format!("another `tokenizer.ggml.model` than `{kind}`"),
            });
        }
        _ => {
            return Err(TokenizerError::Unknown {
                path: path.to_owned(),
                what: "tokenizer kind",
                found: kind.to_owned(),
                known: "`gpt2`, `llama`, `bert`, `t5`, `rwkv`".into(),
            });
        }
    };
    let n_vocab = vocabulary.len();
    let text_of = |key: &str| -> Result<String, TokenizerError> {
        let id = metadata.token_id(key, n_vocab)?;
        let text = id.and_then(|id| vocabulary.text(id));
        Ok(text.unwrap_or_default().to_owned())
    };
    let bos_eos_texts = (
        text_of("tokenizer.ggml.bos_token_id")?,
        text_of("tokenizer.ggml.eos_token_id")?,
    );
    let adds_bos = metadata.bool("tokenizer.ggml.add_bos_token")?;
    let architecture = metadata.string("general.architecture")?;
    let after = after(&metadata, kind, n_vocab)?;
    Ok(Tokenizer {
        path: path.to_owned(),
        engine,
        n_vocab,
        n_ordinary: n_vocab,
        bos: metadata.token_id("tokenizer.ggml.bos_token_id", n_vocab)?,
        adds_bos: adds_bos.unwrap_or(adds_bos_by_default),
        after,
        between: Vec::new(),
        eos_ids: crate::checkpoint::gguf_config::eos_ids(&metadata, n_vocab)?,
        special_ids: vocabulary.special_ids().collect(),
        context_length: metadata.optional_size(&format!("{architecture}.context_length"))?,
        templates: templates(&gguf.metadata),
        bos_eos_texts,
        fingerprint: fingerprint_of_metadata(&gguf.metadata),
    })
}

/// What the file puts after a text: the end token or a separator.
fn after(metadata: &Metadata<'_>, kind: &str, n_vocab: usize) -> Result<Vec<u32>, TokenizerError> {
    let separates = metadata.bool("tokenizer.ggml.add_sep_token")?;
    let ends = metadata.bool("tokenizer.ggml.add_eos_token")?;
    let name = match (
        separates.unwrap_or(kind == "bert"),
        ends.unwrap_or(kind == "t5"),
    ) {
        (true, _) => "tokenizer.ggml.seperator_token_id",
        (false, true) => "tokenizer.ggml.eos_token_id",
        (false, false) => return Ok(Vec::new()),
    };
    Ok(metadata.token_id(name, n_vocab)?.into_iter().collect())
}

/// `tokenizer.chat_template`, and others as `tokenizer.chat_template.NAME`.
fn templates(metadata: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let entry = |(key, value): (&String, &Value)| {
        let name = key.strip_prefix("tokenizer.chat_template")?;
        let name = match name.strip_prefix('.') {
            Some(name) => name,
            None if name.is_empty() => "default",
            None => return None,
        };
        match value {
            Value::String(template) => Some((name.to_owned(), template.clone())),
            _ => None,
        }
    };
    metadata.iter().filter_map(entry).collect()
}

fn fingerprint_of_metadata(metadata: &BTreeMap<String, Value>) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (key, value) in metadata
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer."))
    {
        add(key.as_bytes());
        match value {
            Value::Strings(strings) => strings.iter().for_each(|text| add(text.as_bytes())),
            Value::Floats(floats) => floats.iter().for_each(|x| add(&x.to_le_bytes())),
            Value::Ints(ints) => ints.iter().for_each(|n| add(&n.to_le_bytes())),
            other => add(format!("{other:?}").as_bytes()),
        }
    }
    hash.finalize().to_hex().to_string()
}
