//! Rotary settings of `config.json`: bases, stretching, the part of a head that rotates.
//!
//! Spellings that changed over time: `rope_scaling.type` and `rope_type`; `rope_theta` beside
//! `rope_scaling` and inside `rope_parameters` (transformers 5), there per kind of layer for
//! Gemma 3; `rotary_pct` and `partial_rotary_factor`.
//!
//! Two kinds of stretching depend on the length of the whole text (`dynamic`, `longrope`): the
//! states of a beginning would depend on what follows. Within the original context they do not, so
//! such a model is used up to there.
//!
//! Source: `modeling_rope_utils.py` of transformers 5.23.

use serde_json::Value;

use super::CheckpointError;
use super::config::{Config, Family, RopeScaling};
use super::settings::Settings;

/// What the settings say about rotation.
pub(crate) struct Rope {
    pub(crate) theta: f64,
    pub(crate) theta_local: Option<f64>,
    pub(crate) scaling: RopeScaling,
    /// Multiplies cosines and sines.
    pub(crate) magnitude: f32,
    /// Dimensions that rotate.
    pub(crate) d_rotary: usize,
    /// Longest sequence for which `scaling` is right.
    pub(crate) context_length: usize,
}

/// Reads them; `context_length` is what the settings promise.
pub(crate) fn rope(
    settings: &Settings<'_>,
    of_family: &Config,
    d_head: usize,
    context_length: usize,
) -> Result<Rope, CheckpointError> {
    let parameters = settings.json.get("rope_parameters");
    let of_kind = |kind: &str| {
        parameters
            .and_then(|all| all.get(kind))
            .filter(|json| json.is_object())
    };
    // Gemma 3 has one set per kind of layer.
    let empty = Value::Object(serde_json::Map::new());
    let full = Settings {
        path: settings.path,
        json: of_kind("full_attention").or(parameters).unwrap_or(&empty),
    };
    let old = settings
        .json
        .get("rope_scaling")
        .filter(|json| !json.is_null());
    let stretching = old.map_or(full, |json| Settings {
        path: settings.path,
        json,
    });
    let theta = if full.is_null("rope_theta") {
        let default = of_family.rope_theta;
        settings.float(
            settings.spelling(&["rotary_emb_base", "rope_theta"]),
            Some(default),
        )?
    } else {
        full.float("rope_theta", None)?
    };
    let theta_local = match (of_family.rope_theta_local, of_kind("sliding_attention")) {
        (None, _) => None,
        (default, Some(json)) => {
            let local = Settings {
                path: settings.path,
                json,
            };
            Some(local.float("rope_theta", default)?)
        }
        (default, None) => Some(settings.float("rope_local_base_freq", default)?),
    };
    let d_rotary = rotated(settings, &full, of_family.family, d_head)?;
    let mut rope = Rope {
        theta,
        theta_local,
        scaling: RopeScaling::None,
        magnitude: 1.0,
        d_rotary,
        context_length,
    };
    stretch(&stretching, settings, &mut rope)?;
    Ok(rope)
}

/// Dimensions of a head that rotate.
fn rotated(
    settings: &Settings<'_>,
    full: &Settings<'_>,
    family: Family,
    d_head: usize,
) -> Result<usize, CheckpointError> {
    let key = "partial_rotary_factor";
    let share = if full.is_null(key) {
        let default = match family {
            Family::GptNeoX => 0.25,
            _ => 1.0,
        };
        settings.float(settings.spelling(&["rotary_pct", key]), Some(default))?
    } else {
        full.float(key, None)?
    };
    if share > 1.0 {
        return Err(settings.wrong(key, "a share of a head, at most 1", &share.to_string()));
    }
    Ok((d_head as f64 * share) as usize)
}

/// The kind of stretching.
fn stretch(
    rope: &Settings<'_>,
    settings: &Settings<'_>,
    out: &mut Rope,
) -> Result<(), CheckpointError> {
    let kind = rope.json.get(rope.spelling(&["rope_type", "type"]));
    match kind.and_then(Value::as_str).unwrap_or("default") {
        // Not stretched within the context, which is the original one.
        "default" | "dynamic" => {}
        "linear" => {
            let factor = rope.float("factor", None)?;
            out.scaling = RopeScaling::Linear { factor };
        }
        "llama3" => {
            let (low, high) = (
                rope.float("low_freq_factor", None)?,
                rope.float("high_freq_factor", None)?,
            );
            if low >= high {
                let expected = format!("more than low_freq_factor, {low}");
                return Err(rope.wrong("high_freq_factor", &expected, &high.to_string()));
            }
            out.scaling = RopeScaling::Llama3 {
                factor: rope.float("factor", None)?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context_length: rope.size("original_max_position_embeddings", None)?,
            };
        }
        "yarn" => {
            let original = original_context(rope, settings, out.context_length)?;
            let factor = rope.float("factor", Some(out.context_length as f64 / original as f64))?;
            out.magnitude = yarn_magnitude(rope, factor)? as f32;
            out.scaling = RopeScaling::Yarn {
                factor,
                beta_fast: rope.float("beta_fast", Some(32.0))?,
                beta_slow: rope.float("beta_slow", Some(1.0))?,
                truncate: rope.bool("truncate")?.unwrap_or(true),
                original_context_length: original,
            };
        }
        "longrope" | "su" => {
            let original = original_context(rope, settings, out.context_length)?;
            let factor = rope.float("factor", Some(out.context_length as f64 / original as f64))?;
            // Source: Ding et al. 2024, arXiv:2402.13753, and the reference's code.
            let default = if factor <= 1.0 {
                1.0
            } else {
                (1.0 + factor.ln() / (original as f64).ln()).sqrt()
            };
            out.magnitude = rope.float("attention_factor", Some(default))? as f32;
            out.scaling = RopeScaling::Factors(rope.floats("short_factor")?);
            out.context_length = out.context_length.min(original);
        }
        other => {
            return Err(CheckpointError::Unsupported {
                path: settings.path.to_owned(),
                what: format!("rotary scaling `{other}`"),
            });
        }
    }
    Ok(())
}

/// Context before stretching: among the stretching's own settings, or beside them (Phi-3).
fn original_context(
    rope: &Settings<'_>,
    settings: &Settings<'_>,
    context_length: usize,
) -> Result<usize, CheckpointError> {
    let key = "original_max_position_embeddings";
    if rope.is_null(key) {
        settings.size(key, Some(context_length))
    } else {
        rope.size(key, None)
    }
}

/// What `YaRN` multiplies cosines and sines by: .1 ln(factor) + 1, or as stated.
fn yarn_magnitude(rope: &Settings<'_>, factor: f64) -> Result<f64, CheckpointError> {
    let magnitude = |m: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * m * factor.ln() + 1.0
        }
    };
    let default = if rope.is_null("mscale") || rope.is_null("mscale_all_dim") {
        magnitude(1.0)
    } else {
        magnitude(rope.float("mscale", None)?) / magnitude(rope.float("mscale_all_dim", None)?)
    };
    rope.float("attention_factor", Some(default))
}
