//! How each family stores its tensors in a Hugging Face folder, in terms of Llama's names.
//!
//! ```text
//! stored name -> canonical names, each with the part of the stored tensor that it is
//! transformer.h.0.attn.c_attn.weight [d, 3d] -> q_proj, k_proj, v_proj: columns of it
//! ```
//! After this, every family has the same names, and only [`super::layout`] says which of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::tensor::View;
use super::{CheckpointError, Config, Entry, Family};

/// A part of a stored matrix or vector.
#[derive(Debug, Clone, Copy)]
enum Part {
    All,
    /// `n` neighboring rows.
    Rows {
        first: usize,
        n: usize,
    },
    /// `n` rows in blocks: see [`View::Rows`].
    Blocks {
        first: usize,
        n: usize,
        block: usize,
        stride: usize,
    },
    /// The stored matrix is `[n_in, n_out]`: `n` of its columns. Of a vector, `n` values.
    Columns {
        first: usize,
        n: usize,
    },
}

/// Gives every tensor of a Hugging Face folder its canonical names.
pub(crate) fn arrange(
    path: &Path,
    config: &Config,
    stored: BTreeMap<String, Entry>,
) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    rename(path, stored, |name| parts(config, name))
}

/// The same for a GGUF file, whose names are already those of [`super::layout::hf_name`]: there,
/// fused projections lie one below the other in every family.
pub(crate) fn split_fused(
    path: &Path,
    config: &Config,
    stored: BTreeMap<String, Entry>,
) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    rename(path, stored, |name| fused_rows(config, name))
}

/// The canonical tensors that a module's weight consists of, by its name in a Hugging Face folder,
/// each with the outputs of the module that its rows are: stored rows of `[n_out, n_in]`, however
/// the weight itself is stored.
pub(crate) fn outputs(config: &Config, name: &str) -> Vec<(String, View)> {
    let view = |part| match part {
        Part::All => View::Whole,
        Part::Rows { first, n } | Part::Columns { first, n } => View::Rows {
            first,
            block: n,
            stride: n,
        },
        Part::Blocks {
            first,
            block,
            stride,
            ..
        } => View::Rows {
            first,
            block,
            stride,
        },
    };
    if is_foreign(config, name) {
        return Vec::new();
    }
    let parts = parts(config, name).into_iter();
    parts.map(|(name, part)| (name, view(part))).collect()
}

/// Whether a name is that of another family: some have names of their own for everything, and the
/// canonical ones mean nothing in their files.
pub(crate) fn is_foreign(config: &Config, name: &str) -> bool {
    let own_names = [Family::Gpt2, Family::GptNeoX, Family::Bloom];
    own_names.contains(&config.family) && name.starts_with("model.")
}

fn rename(
    path: &Path,
    stored: BTreeMap<String, Entry>,
    parts: impl Fn(&str) -> Vec<(String, Part)>,
) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let mut tensors = BTreeMap::new();
    for (name, entry) in stored {
        for (canonical, part) in parts(&name) {
            let entry = cut(path, &name, &entry, part)?;
            if tensors.insert(canonical, entry).is_some() {
                return Err(CheckpointError::Damaged {
                    path: path.to_owned(),
                    what: format!("tensor `{name}`"),
                    expected: "one spelling of a name".into(),
                    found: "two".into(),
                });
            }
        }
    }
    Ok(tensors)
}

/// Canonical names of a stored tensor; none for what is not used, its own name where it is unknown
/// (the layout refuses that).
fn parts(c: &Config, name: &str) -> Vec<(String, Part)> {
    match c.family {
        Family::Phi3 => fused_rows(c, name),
        Family::Gpt2 => gpt2(c, name),
        Family::GptNeoX => gpt_neox(c, name),
        Family::Bloom => bloom(c, name),
        _ => vec![(name.to_owned(), Part::All)],
    }
}

/// Phi-3: queries, keys and values one below the other; gates above ups.
fn fused_rows(c: &Config, name: &str) -> Vec<(String, Part)> {
    let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
    if let Some((block, kind)) = name.split_once("self_attn.qkv_proj.") {
        let rows = [
            ("q_proj", 0, n_q),
            ("k_proj", n_q, n_kv),
            ("v_proj", n_q + n_kv, n_kv),
        ];
        return rows
            .map(|(part, first, n)| {
                (
                    format!("{block}self_attn.{part}.{kind}"),
                    Part::Rows { first, n },
                )
            })
            .into();
    }
    if let Some((block, kind)) = name.split_once("mlp.gate_up_proj.") {
        return [("gate_proj", 0), ("up_proj", c.d_ff)]
            .map(|(part, first)| {
                (
                    format!("{block}mlp.{part}.{kind}"),
                    Part::Rows { first, n: c.d_ff },
                )
            })
            .into();
    }
    vec![(name.to_owned(), Part::All)]
}

/// Projections are stored transposed; the first release has no `transformer.` before its names.
fn gpt2(c: &Config, name: &str) -> Vec<(String, Part)> {
    let own = name.strip_prefix("transformer.").unwrap_or(name);
    let one = |canonical: String, part| vec![(canonical, part)];
    if let Some(rest) = own.strip_prefix("wte.") {
        return one(format!("model.embed_tokens.{rest}"), Part::All);
    }
    if let Some(rest) = own.strip_prefix("wpe.") {
        return one(format!("model.embed_positions.{rest}"), Part::All);
    }
    if let Some(rest) = own.strip_prefix("ln_f.") {
        return one(format!("model.norm.{rest}"), Part::All);
    }
    let Some((layer, part)) = layer_of(own, "h.") else {
        return one(name.to_owned(), Part::All);
    };
    let (d, canonical) = (c.d_model, |part: &str| {
        format!("model.layers.{layer}.{part}")
    });
    let columns = |first, n| Part::Columns { first, n };
    match part.rsplit_once('.') {
        // Masks of old files.
        Some(("attn", "bias" | "masked_bias")) => Vec::new(),
        Some(("ln_1", kind)) => one(canonical(&format!("input_layernorm.{kind}")), Part::All),
        Some(("ln_2", kind)) => one(
            canonical(&format!("post_attention_layernorm.{kind}")),
            Part::All,
        ),
        Some(("attn.c_attn", kind)) => [("q_proj", 0), ("k_proj", d), ("v_proj", 2 * d)]
            .map(|(part, first)| {
                (
                    canonical(&format!("self_attn.{part}.{kind}")),
                    columns(first, d),
                )
            })
            .into(),
        Some(("attn.c_proj", kind)) => one(
            canonical(&format!("self_attn.o_proj.{kind}")),
            columns(0, d),
        ),
        Some(("mlp.c_fc", kind)) => one(
            canonical(&format!("mlp.up_proj.{kind}")),
            columns(0, c.d_ff),
        ),
        Some(("mlp.c_proj", kind)) => {
            one(canonical(&format!("mlp.down_proj.{kind}")), columns(0, d))
        }
        _ => one(name.to_owned(), Part::All),
    }
}

fn gpt_neox(c: &Config, name: &str) -> Vec<(String, Part)> {
    let own = name.strip_prefix("gpt_neox.").unwrap_or(name);
    let one = |canonical: String| vec![(canonical, Part::All)];
    if let Some(rest) = own.strip_prefix("embed_in.") {
        return one(format!("model.embed_tokens.{rest}"));
    }
    if let Some(rest) = own.strip_prefix("embed_out.") {
        return one(format!("lm_head.{rest}"));
    }
    if let Some(rest) = own.strip_prefix("final_layer_norm.") {
        return one(format!("model.norm.{rest}"));
    }
    let Some((layer, part)) = layer_of(own, "layers.") else {
        return one(name.to_owned());
    };
    if matches!(part, "attention.bias" | "attention.masked_bias") {
        return Vec::new(); // masks of old files
    }
    fused_block(c, name, layer, part, "attention")
}

fn bloom(c: &Config, name: &str) -> Vec<(String, Part)> {
    let own = name.strip_prefix("transformer.").unwrap_or(name);
    let one = |canonical: String| vec![(canonical, Part::All)];
    if let Some(rest) = own.strip_prefix("word_embeddings.") {
        return one(format!("model.embed_tokens.{rest}"));
    }
    if let Some(rest) = own.strip_prefix("word_embeddings_layernorm.") {
        return one(format!("model.embed_layernorm.{rest}"));
    }
    if let Some(rest) = own.strip_prefix("ln_f.") {
        return one(format!("model.norm.{rest}"));
    }
    match layer_of(own, "h.") {
        Some((layer, part)) => fused_block(c, name, layer, part, "self_attention"),
        None => one(name.to_owned()),
    }
}

/// A block of GPT-NeoX or BLOOM: queries, keys and values of one head after the other.
fn fused_block(
    c: &Config,
    name: &str,
    layer: &str,
    part: &str,
    attention: &str,
) -> Vec<(String, Part)> {
    let canonical = |part: &str, kind: &str| format!("model.layers.{layer}.{part}.{kind}");
    let one = |canonical: String| vec![(canonical, Part::All)];
    let Some((module, kind)) = part.rsplit_once('.') else {
        return one(name.to_owned());
    };
    let in_attention = module
        .strip_prefix(attention)
        .and_then(|rest| rest.strip_prefix('.'));
    match (in_attention, module) {
        (Some("query_key_value"), _) => [("q_proj", 0), ("k_proj", 1), ("v_proj", 2)]
            .map(|(part, which)| {
                let blocks = Part::Blocks {
                    first: which * c.d_head,
                    n: c.n_heads * c.d_head,
                    block: c.d_head,
                    stride: 3 * c.d_head,
                };
                (canonical(&format!("self_attn.{part}"), kind), blocks)
            })
            .into(),
        (Some("dense"), _) => one(canonical("self_attn.o_proj", kind)),
        (_, "input_layernorm" | "post_attention_layernorm") => one(canonical(module, kind)),
        (_, "mlp.dense_h_to_4h") => one(canonical("mlp.up_proj", kind)),
        (_, "mlp.dense_4h_to_h") => one(canonical("mlp.down_proj", kind)),
        _ => one(name.to_owned()),
    }
}

/// `h.3.ln_1.weight` -> (`3`, `ln_1.weight`).
fn layer_of<'a>(name: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (layer, part) = name.strip_prefix(prefix)?.split_once('.')?;
    layer
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then_some((layer, part))
}

/// A part of an entry, checked against the stored shape.
fn cut(path: &Path, name: &str, entry: &Entry, part: Part) -> Result<Entry, CheckpointError> {
    let shape = |expected: Vec<usize>| CheckpointError::Shape {
        path: path.to_owned(),
        name: name.to_owned(),
        expected,
        found: entry.shape.clone(),
    };
    let with = |n: usize, view: View| {
        let mut shape = entry.shape.clone();
        shape[0] = n;
        Entry {
            shape,
            view,
            ..entry.clone()
        }
    };
    // A part of a vector is read value by value, which a block of values is not.
    let is_blocked = entry.dtype.block_len() > 1;
    match (part, entry.shape.as_slice()) {
        (Part::All, _) => Ok(entry.clone()),
        (_, [_]) if is_blocked => Err(CheckpointError::Unsupported {
            path: path.to_owned(),
            what: format!("the vector `{name}` in {}", entry.dtype),
        }),
        (Part::Rows { first, n }, [stored, ..]) if first + n <= *stored => Ok(with(
            n,
            View::Rows {
                first,
                block: n,
                stride: n,
            },
        )),
        (
            Part::Blocks {
                first,
                n,
                block,
                stride,
            },
            [stored, ..],
        ) if n / block * stride == *stored => Ok(with(
            n,
            View::Rows {
                first,
                block,
                stride,
            },
        )),
        (Part::Columns { first, n }, [stored]) if first + n <= *stored => Ok(with(
            n,
            View::Rows {
                first,
                block: n,
                stride: n,
            },
        )),
        (Part::Columns { first, n }, [n_in, stored]) if first + n <= *stored => Ok(Entry {
            shape: vec![n, *n_in],
            view: View::Columns {
                first,
                n_stored: *stored,
            },
            ..entry.clone()
        }),
        (Part::Rows { first, n }, [_, rest @ ..]) => Err(shape([&[first + n], rest].concat())),
        (
            Part::Blocks {
                n, block, stride, ..
            },
            [_, rest @ ..],
        ) => Err(shape([&[n / block * stride], rest].concat())),
        (Part::Columns { first, n }, [rest @ .., _]) => Err(shape([rest, &[first + n]].concat())),
        _ => Err(shape(Vec::new())),
    }
}
