//! The shape of a T5, mT5 or umT5, from `config.json`.
//!
//! Source: `configuration_*.py` and `modeling_*.py` of transformers 5.23. One deviation: there a
//! umT5 with `tie_word_embeddings: false` (all that were published) has its last states scaled by
//! `d_model^-½` as if it were tied; here, as in transformers 4, it is not.

use serde_json::Value;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::hf_config::architecture;
use crate::checkpoint::settings::Settings;
use crate::encoder::Activation;
use crate::encoder::config::activation_of;

/// An encoder-decoder's shape: everything the forward pass needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Seq2SeqConfig {
    /// Which family.
    pub family: Seq2SeqFamily,
    /// Blocks of the encoder.
    pub n_encoder_layers: usize,
    /// Blocks of the decoder; 0 for an encoder alone.
    pub n_decoder_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width of one head (not `d_model / n_heads`).
    pub d_head: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Rows of the table of biases by distance.
    pub n_buckets: usize,
    /// Distance from which all share the last bucket.
    pub max_distance: usize,
    /// ε of the norms.
    pub norm_eps: f32,
    /// Non-linearity of the feed-forward layer.
    pub activation: Activation,
    /// Whether the feed-forward layer has a gate.
    pub gated: bool,
    /// Multiplies the states before the output layer: `d_model^-½` where it is the embedding, else 1.
    pub output_scale: f32,
    /// First input of the decoder.
    pub start_id: u32,
    /// Tokens that end a generation, ascending; may be empty.
    pub eos_ids: Vec<u32>,
    /// Longest source and longest target in tokens. Distances go on without end; this is what the
    /// model was trained on.
    pub context_length: usize,
}

/// Families of encoder-decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seq2SeqFamily {
    /// T5 (1.0 and 1.1), FLAN-T5.
    T5,
    /// mT5: T5 1.1 in 101 languages.
    Mt5,
    /// umT5: every block has its own biases by distance.
    Umt5,
}

impl Seq2SeqFamily {
    /// Lower-case name (`mt5`).
    pub fn name(self) -> &'static str {
        match self {
            Self::T5 => "t5",
            Self::Mt5 => "mt5",
            Self::Umt5 => "umt5",
        }
    }
}

/// Family of an architecture, and whether it has a decoder; `None` for one that is not known.
pub(crate) fn kind_of(architecture: &str) -> Option<(Seq2SeqFamily, bool)> {
    Some(match architecture {
        "T5ForConditionalGeneration" | "T5WithLMHeadModel" => (Seq2SeqFamily::T5, true),
        "MT5ForConditionalGeneration" => (Seq2SeqFamily::Mt5, true),
        "UMT5ForConditionalGeneration" => (Seq2SeqFamily::Umt5, true),
        "T5EncoderModel" => (Seq2SeqFamily::T5, false),
        "MT5EncoderModel" => (Seq2SeqFamily::Mt5, false),
        "UMT5EncoderModel" => (Seq2SeqFamily::Umt5, false),
        _ => return None,
    })
}

/// `config.json` as a [`Seq2SeqConfig`]; `n_tensors` bounds the number of layers.
pub(crate) fn parse(
    settings: &Settings<'_>,
    n_tensors: usize,
) -> Result<Seq2SeqConfig, CheckpointError> {
    let found = architecture(settings)?;
    let (family, has_decoder) = kind_of(found).ok_or_else(|| CheckpointError::Architecture {
        path: settings.path.to_owned(),
        found: found.to_owned(),
    })?;
    if !settings.is_null("quantization_config") {
        return Err(CheckpointError::Unsupported {
            path: settings.path.to_owned(),
            what: "a folder of quantized weights (`quantization_config`)".into(),
        });
    }
    let size = |key: &str, default: usize| settings.size(key, Some(default));
    let layers = |key: &str, default: usize| {
        let n = size(key, default)?;
        if n > n_tensors {
            let expected = format!("at most {n_tensors}, the number of tensors");
            return Err(settings.wrong(key, &expected, &n.to_string()));
        }
        Ok(n)
    };
    let n_encoder_layers = layers(
        "num_layers",
        if family == Seq2SeqFamily::T5 { 6 } else { 8 },
    )?;
    let n_decoder_layers = layers("num_decoder_layers", n_encoder_layers)?;
    let d_model = size("d_model", 512)?;
    let vocab_size = size("vocab_size", 32_128)?;
    let n_buckets = size("relative_attention_num_buckets", 32)?;
    if n_buckets < 4 || !n_buckets.is_multiple_of(2) || n_buckets > 1 << 16 {
        let found = n_buckets.to_string();
        let expected = "an even number from 4 to 65536";
        return Err(settings.wrong("relative_attention_num_buckets", expected, &found));
    }
    let max_distance = size("relative_attention_max_distance", 128)?;
    if max_distance <= n_buckets / 2 {
        let expected = format!("more than {}, half the buckets", n_buckets / 2);
        let found = max_distance.to_string();
        return Err(settings.wrong("relative_attention_max_distance", &expected, &found));
    }
    let (activation, gated) = feed_forward(settings, family)?;
    let is_scaled = match family {
        Seq2SeqFamily::T5 | Seq2SeqFamily::Umt5 => {
            settings.bool("tie_word_embeddings")? != Some(false)
        }
        Seq2SeqFamily::Mt5 => false,
    };
    let ids = |key: &str| settings.token_ids(key, vocab_size);
    let start = ids("decoder_start_token_id")?.first().copied();
    let start = start.or(ids("pad_token_id")?.first().copied());
    let mut eos_ids = ids("eos_token_id")?;
    if settings.json.get("eos_token_id").is_none_or(Value::is_null) && vocab_size > 1 {
        eos_ids.push(1);
    }
    eos_ids.sort_unstable();
    eos_ids.dedup();
    Ok(Seq2SeqConfig {
        family,
        n_encoder_layers,
        n_decoder_layers: if has_decoder { n_decoder_layers } else { 0 },
        d_model,
        n_heads: size("num_heads", 8)?,
        d_head: size("d_kv", 64)?,
        d_ff: size("d_ff", 2048)?,
        vocab_size,
        n_buckets,
        max_distance,
        norm_eps: settings.float("layer_norm_epsilon", Some(1e-6))? as f32,
        activation,
        gated,
        output_scale: if is_scaled {
            1.0 / (d_model as f32).sqrt()
        } else {
            1.0
        },
        start_id: start.unwrap_or(0),
        eos_ids,
        // The lengths that the families were trained on. Source: Raffel et al. 2019,
        // arXiv:1910.10683; Xue et al. 2020, arXiv:2010.11934; Chung et al. 2023, arXiv:2304.09151.
        context_length: size(
            "n_positions",
            match family {
                Seq2SeqFamily::T5 => 512,
                Seq2SeqFamily::Mt5 | Seq2SeqFamily::Umt5 => 1024,
            },
        )?,
    })
}

/// `relu`, `gated-gelu`, …: the non-linearity, and whether there is a gate.
fn feed_forward(
    settings: &Settings<'_>,
    family: Seq2SeqFamily,
) -> Result<(Activation, bool), CheckpointError> {
    let default = match family {
        Seq2SeqFamily::T5 => "relu",
        Seq2SeqFamily::Mt5 | Seq2SeqFamily::Umt5 => "gated-gelu",
    };
    let value = settings.json.get("feed_forward_proj");
    let name = value.and_then(Value::as_str).unwrap_or(default);
    let (name, gated) = match name.strip_prefix("gated-") {
        // T5's name of the tanh form.
        Some("gelu") => ("gelu_new", true),
        Some(name) => (name, true),
        None => (name, false),
    };
    let activation = activation_of(name).ok_or_else(|| CheckpointError::Unsupported {
        path: settings.path.to_owned(),
        what: format!("`feed_forward_proj`: `{name}`"),
    })?;
    Ok((activation, gated))
}
