//! The shape of an encoder, from `config.json`, and its tensors' names in one spelling.
//!
//! BERT, RoBERTa (XLM-R, CamemBERT) and DistilBERT are one network with the norm behind each branch:
//! they differ in how positions count, in what the head is and in names. The canonical names are
//! BERT's for the body, RoBERTa's for the heads.
//!
//! Source: `configuration_*.py` and `modeling_*.py` of transformers 5.23.

use serde_json::Value;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::hf_config::architecture;
use crate::checkpoint::settings::Settings;

/// An encoder's shape and head: everything the forward pass needs.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Which family.
    pub family: EncoderFamily,
    /// What comes after the last block.
    pub head: Head,
    /// Blocks.
    pub n_layers: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Attention heads, each `d_model / n_heads` wide.
    pub n_heads: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Rows of the position table.
    pub n_positions: usize,
    /// Row of the position table where a text begins: 0, in RoBERTa one after its padding id.
    pub first_position: usize,
    /// Rows of the table of token types; 0 without one (DistilBERT).
    pub n_types: usize,
    /// Padding token: never needed, since nothing is padded; RoBERTa does not count it as a position.
    pub pad_id: u32,
    /// ε of the norms.
    pub norm_eps: f32,
    /// Non-linearity of the feed-forward layer.
    pub activation: Activation,
    /// Names of the classes, in the order of the logits; empty without a classifier.
    pub labels: Vec<String>,
    /// How the logits of a classifier become numbers.
    pub problem: Problem,
}

/// Families of encoders with norms behind the branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderFamily {
    /// BERT, and sentence encoders of its shape (MiniLM, E5, LaBSE).
    Bert,
    /// RoBERTa, XLM-R, CamemBERT: positions begin after the padding id.
    Roberta,
    /// DistilBERT: no token types.
    DistilBert,
}

/// What comes after the last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Nothing: hidden states.
    None,
    /// Logits over the vocabulary at every position.
    MaskedLm,
    /// Logits over labels, of the text.
    Sequence,
    /// Logits over labels at every position.
    Token,
}

/// How logits over labels become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// One of the labels: probabilities by softmax.
    OneOf,
    /// Each label by itself: probabilities by the logistic function.
    EachOf,
    /// The logits are the answer: a reward, a relevance, a regression.
    Value,
}

impl Problem {
    /// Probabilities of the labels; `None` where the logits are the answer. Of no labels, none.
    ///
    /// ```
    /// use isogloss_model::encoder::Problem;
    /// // e^(ln 3) : e^0 = 3 : 1
    /// let logits = [3.0_f32.ln(), 0.0];
    /// let shares = Problem::OneOf.probabilities(&logits).unwrap();
    /// assert!((shares[0] - 0.75).abs() < 1e-6 && (shares[1] - 0.25).abs() < 1e-6);
    /// // 3 / (3 + 1), 1 / (1 + 1)
    /// let shares = Problem::EachOf.probabilities(&logits).unwrap();
    /// assert!((shares[0] - 0.75).abs() < 1e-6 && shares[1] == 0.5);
    /// assert_eq!(Problem::Value.probabilities(&logits), None);
    /// ```
    pub fn probabilities(self, logits: &[f32]) -> Option<Vec<f64>> {
        let logits = logits.iter().map(|x| f64::from(*x));
        match self {
            Self::Value => None,
            Self::EachOf => Some(logits.map(|x| 1.0 / (1.0 + (-x).exp())).collect()),
            Self::OneOf => {
                let max = logits.clone().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = logits.map(|x| (x - max).exp()).collect();
                let total: f64 = weights.iter().sum();
                Some(weights.into_iter().map(|weight| weight / total).collect())
            }
        }
    }
}

/// Non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU, exact: x · Φ(x).
    Gelu,
    /// GELU, tanh approximation.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x · σ(x).
    Silu,
    /// tanh x.
    Tanh,
}

impl EncoderFamily {
    /// Lower-case name (`roberta`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::DistilBert => "distilbert",
        }
    }
}

impl EncoderConfig {
    /// Longest text in tokens, special tokens included.
    pub fn context_length(&self) -> usize {
        self.n_positions - self.first_position
    }

    /// Width of one head.
    pub fn d_head(&self) -> usize {
        self.d_model / self.n_heads
    }
}

/// Encoders whose architectures the engine knows, for messages.
pub(crate) const KNOWN_ENCODERS: &str = "BERT (`BertModel`, `BertForMaskedLM`, …), RoBERTa, \
     XLM-R, CamemBERT, DistilBERT, each as `…Model`, `…ForMaskedLM`, \
     `…ForSequenceClassification` or `…ForTokenClassification`, and the encoders of T5, mT5, umT5";

/// Family and head of an architecture; `None` for one that is not known.
pub(crate) fn kind_of(architecture: &str) -> Option<(EncoderFamily, Head)> {
    let (family, rest) = [
        ("XLMRoberta", EncoderFamily::Roberta),
        ("Camembert", EncoderFamily::Roberta),
        ("Roberta", EncoderFamily::Roberta),
        ("DistilBert", EncoderFamily::DistilBert),
        ("Bert", EncoderFamily::Bert),
    ]
    .into_iter()
    .find_map(|(name, family)| Some((family, architecture.strip_prefix(name)?)))?;
    let head = match rest {
        "Model" => Head::None,
        "ForMaskedLM" | "ForPreTraining" => Head::MaskedLm,
        "ForSequenceClassification" => Head::Sequence,
        "ForTokenClassification" => Head::Token,
        _ => return None,
    };
    Some((family, head))
}

/// `config.json` as an [`EncoderConfig`]; `n_tensors` bounds the number of layers.
pub(crate) fn parse(
    settings: &Settings<'_>,
    n_tensors: usize,
) -> Result<EncoderConfig, CheckpointError> {
    let found = architecture(settings)?;
    let (family, head) = kind_of(found).ok_or_else(|| CheckpointError::Architecture {
        path: settings.path.to_owned(),
        found: found.to_owned(),
    })?;
    refuse_what_is_not_computed(settings)?;
    let size = |keys: &[&str], default| settings.size(settings.spelling(keys), default);
    let n_layers = size(&["n_layers", "num_hidden_layers"], Some(12))?;
    if n_layers > n_tensors {
        let expected = format!("at most {n_tensors}, the number of tensors");
        let key = settings.spelling(&["n_layers", "num_hidden_layers"]);
        return Err(settings.wrong(key, &expected, &n_layers.to_string()));
    }
    let d_model = size(&["dim", "hidden_size"], Some(768))?;
    let n_heads = size(&["n_heads", "num_attention_heads"], Some(12))?;
    if !d_model.is_multiple_of(n_heads) {
        let expected = format!("a divisor of the width {d_model}");
        let key = settings.spelling(&["n_heads", "num_attention_heads"]);
        return Err(settings.wrong(key, &expected, &n_heads.to_string()));
    }
    let vocab_size = size(&["vocab_size"], Some(30_522))?;
    let default_pad = u32::from(family == EncoderFamily::Roberta);
    let pads = settings.token_ids("pad_token_id", vocab_size)?;
    let pad_id = pads.first().copied().unwrap_or(default_pad);
    let n_positions = size(&["max_position_embeddings"], Some(512))?;
    let first_position = match family {
        EncoderFamily::Roberta => pad_id as usize + 1,
        EncoderFamily::Bert | EncoderFamily::DistilBert => 0,
    };
    if n_positions <= first_position {
        let expected = format!("more than {first_position}, where positions begin");
        let found = n_positions.to_string();
        return Err(settings.wrong("max_position_embeddings", &expected, &found));
    }
    let has_labels = matches!(head, Head::Sequence | Head::Token);
    let labels = if has_labels {
        labels(settings)?
    } else {
        Vec::new()
    };
    Ok(EncoderConfig {
        family,
        head,
        n_layers,
        d_model,
        n_heads,
        d_ff: size(&["hidden_dim", "intermediate_size"], Some(4 * d_model))?,
        vocab_size,
        n_positions,
        first_position,
        n_types: match family {
            EncoderFamily::DistilBert => 0,
            EncoderFamily::Bert | EncoderFamily::Roberta => size(&["type_vocab_size"], Some(2))?,
        },
        pad_id,
        norm_eps: match family {
            EncoderFamily::DistilBert => 1e-12,
            EncoderFamily::Bert | EncoderFamily::Roberta => {
                settings.float("layer_norm_eps", Some(1e-12))? as f32
            }
        },
        activation: activation(settings, &["activation", "hidden_act"], Activation::Gelu)?,
        problem: problem(settings, labels.len())?,
        labels,
    })
}

fn refuse_what_is_not_computed(settings: &Settings<'_>) -> Result<(), CheckpointError> {
    let refuse = |what: String| {
        Err(CheckpointError::Unsupported {
            path: settings.path.to_owned(),
            what,
        })
    };
    if !settings.is_null("quantization_config") {
        return refuse("a folder of quantized weights (`quantization_config`)".into());
    }
    for flag in ["is_decoder", "add_cross_attention"] {
        if settings.bool(flag)?.unwrap_or(false) {
            return refuse(format!("`{flag}` of an encoder"));
        }
    }
    match settings.json.get("position_embedding_type") {
        None | Some(Value::Null) => Ok(()),
        Some(kind) if kind == "absolute" => Ok(()),
        Some(kind) => refuse(format!("`position_embedding_type`: {kind}")),
    }
}

/// A non-linearity by the names that transformers gives it.
pub(crate) fn activation(
    settings: &Settings<'_>,
    keys: &[&str],
    default: Activation,
) -> Result<Activation, CheckpointError> {
    let value = settings.json.get(settings.spelling(keys));
    let Some(name) = value.and_then(Value::as_str) else {
        return Ok(default);
    };
    activation_of(name).ok_or_else(|| CheckpointError::Unsupported {
        path: settings.path.to_owned(),
        what: format!("the activation `{name}`"),
    })
}

pub(crate) fn activation_of(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        _ => return None,
    })
}

/// Names of the labels: `id2label`, else as many as `num_labels` says, else two.
pub(crate) fn labels(settings: &Settings<'_>) -> Result<Vec<String>, CheckpointError> {
    let Some(by_id) = settings.json.get("id2label").and_then(Value::as_object) else {
        let n = settings.size("num_labels", Some(2))?;
        if n > 1 << 16 {
            return Err(settings.wrong("num_labels", "at most 65536", &n.to_string()));
        }
        return Ok((0..n).map(|i| format!("LABEL_{i}")).collect());
    };
    let expected = format!("a name for each of the ids 0 to {}", by_id.len() - 1);
    (0..by_id.len())
        .map(|i| {
            let name = by_id.get(&i.to_string()).and_then(Value::as_str);
            let name = name.map(str::to_owned);
            name.ok_or_else(|| settings.wrong("id2label", &expected, &format!("none for {i}")))
        })
        .collect()
}

/// What the classifier was trained for: as `problem_type` says, else by the number of labels.
pub(crate) fn problem(
    settings: &Settings<'_>,
    n_labels: usize,
) -> Result<Problem, CheckpointError> {
    match settings.json.get("problem_type") {
        None | Some(Value::Null) if n_labels == 1 => Ok(Problem::Value),
        None | Some(Value::Null) => Ok(Problem::OneOf),
        Some(kind) => match kind.as_str() {
            Some("regression") => Ok(Problem::Value),
            Some("single_label_classification") => Ok(Problem::OneOf),
            Some("multi_label_classification") => Ok(Problem::EachOf),
            _ => Err(settings.wrong(
                "problem_type",
                "`regression`, `single_label_classification` or `multi_label_classification`",
                &kind.to_string(),
            )),
        },
    }
}

/// Canonical name of a stored tensor; `None` for what no head of ours uses.
pub(crate) fn canonical(stored: &str) -> Option<String> {
    let name = ["bert.", "roberta.", "distilbert."]
        .into_iter()
        .find_map(|prefix| stored.strip_prefix(prefix))
        .unwrap_or(stored);
    // Positions and types of the buffers follow from the settings; the other head of BERT's
    // pre-training says whether two sentences are neighbors.
    let is_buffer = matches!(
        name,
        "embeddings.position_ids" | "embeddings.token_type_ids"
    );
    if is_buffer || name.starts_with("cls.seq_relationship.") {
        return None;
    }
    let (module, kind) = name.rsplit_once('.')?;
    let kind = match kind {
        // Norms of files that come from TensorFlow.
        "gamma" => "weight",
        "beta" => "bias",
        kind => kind,
    };
    let module = match module {
        "cls.predictions" => "lm_head".to_owned(),
        "cls.predictions.decoder" | "vocab_projector" => "lm_head.decoder".to_owned(),
        "cls.predictions.transform.dense" | "vocab_transform" => "lm_head.dense".to_owned(),
        "cls.predictions.transform.LayerNorm" | "vocab_layer_norm" => {
            "lm_head.layer_norm".to_owned()
        }
        "pre_classifier" => "classifier.dense".to_owned(),
        "classifier" => "classifier.out_proj".to_owned(),
        module => match module.strip_prefix("transformer.layer.") {
            Some(rest) => distilbert_part(rest),
            None => module.to_owned(),
        },
    };
    Some(format!("{module}.{kind}"))
}

/// A part of a block of DistilBERT, by BERT's name.
fn distilbert_part(rest: &str) -> String {
    let (layer, part) = rest.split_once('.').unwrap_or((rest, ""));
    let part = match part {
        "attention.q_lin" => "attention.self.query",
        "attention.k_lin" => "attention.self.key",
        "attention.v_lin" => "attention.self.value",
        "attention.out_lin" => "attention.output.dense",
        "sa_layer_norm" => "attention.output.LayerNorm",
        "ffn.lin1" => "intermediate.dense",
        "ffn.lin2" => "output.dense",
        "output_layer_norm" => "output.LayerNorm",
        part => part,
    };
    format!("encoder.layer.{layer}.{part}")
}
