//! The slow truth: a decoder in plain `f64` loops, one sequence at a time, no cache.

use isogloss_model::checkpoint::{Activation, RopePairing, RopeScaling};

use crate::tiny::Tiny;

/// What the reference computes for a sequence.
pub(crate) struct Answer {
    /// `[position][vocab]`.
    pub(crate) logprobs: Vec<Vec<f64>>,
    /// `[layer][position][d_model]`: block outputs.
    pub(crate) hidden: Vec<Vec<Vec<f64>>>,
}

pub(crate) fn run(model: &Tiny, ids: &[u32]) -> Answer {
    let c = &model.config;
    let get = |name: &str| -> Vec<f64> {
        model.tensors[name]
            .1
            .iter()
            .map(|x| f64::from(*x))
            .collect()
    };
    let norm_weight = |name: &str| -> Vec<f64> {
        get(name)
            .into_iter()
            .map(|w| w + f64::from(c.norm_offset))
            .collect()
    };
    let embedding = get("model.embed_tokens.weight");
    let mut x: Vec<Vec<f64>> = ids
        .iter()
        .map(|id| {
            let row = &embedding[*id as usize * c.d_model..][..c.d_model];
            row.iter()
                .map(|x| x * f64::from(c.embedding_scale))
                .collect()
        })
        .collect();
    let mut hidden = Vec::new();
    for layer in 0..c.n_layers {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        let sliding = c.sliding_window.is_some() && c.sliding_layers[layer];
        let window = if sliding {
            c.sliding_window.expect("a window")
        } else {
            usize::MAX
        };

        let normed: Vec<_> = x
            .iter()
            .map(|x| norm(x, &norm_weight(&name("input_layernorm.weight")), c.norm_eps))
            .collect();
        let project = |part: &str| -> Vec<Vec<f64>> {
            let w = get(&name(&format!("self_attn.{part}_proj.weight")));
            let mut y: Vec<_> = normed.iter().map(|x| matvec(&w, x)).collect();
            if c.qkv_bias {
                let bias = get(&name(&format!("self_attn.{part}_proj.bias")));
                for y in &mut y {
                    add(y, &bias);
                }
            }
            y
        };
        let (mut q, mut k, v) = (project("q"), project("k"), project("v"));
        for (rows, which) in [(&mut q, "q"), (&mut k, "k")] {
            for (position, row) in rows.iter_mut().enumerate() {
                for head in row.chunks_mut(c.d_head) {
                    if c.qk_norm {
                        let w = norm_weight(&name(&format!("self_attn.{which}_norm.weight")));
                        let normed = norm(head, &w, c.norm_eps);
                        head.copy_from_slice(&normed);
                    }
                    rotate(model, head, position, sliding);
                }
            }
        }
        let group = c.n_heads / c.n_kv_heads;
        let out_w = get(&name("self_attn.o_proj.weight"));
        for t in 0..ids.len() {
            let mut mixed = vec![0.0; c.n_heads * c.d_head];
            for h in 0..c.n_heads {
                let (qs, ks) = (h * c.d_head, h / group * c.d_head);
                let first = (t + 1).saturating_sub(window);
                let scores: Vec<f64> = (first..=t)
                    .map(|s| {
                        dot(&q[t][qs..qs + c.d_head], &k[s][ks..ks + c.d_head])
                            * f64::from(c.attention_scale)
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                for (s, score) in (first..=t).zip(&scores) {
                    for i in 0..c.d_head {
                        mixed[qs + i] += (score - max).exp() / total * v[s][ks + i];
                    }
                }
            }
            let mut y = matvec(&out_w, &mixed);
            if c.post_norms {
                y = norm(
                    &y,
                    &norm_weight(&name("post_attention_layernorm.weight")),
                    c.norm_eps,
                );
            }
            add(&mut x[t], &y);
        }
        let ff_norm = if c.post_norms {
            "pre_feedforward_layernorm.weight"
        } else {
            "post_attention_layernorm.weight"
        };
        let (gate_w, up_w, down_w) = (
            get(&name("mlp.gate_proj.weight")),
            get(&name("mlp.up_proj.weight")),
            get(&name("mlp.down_proj.weight")),
        );
        for x in &mut x {
            let normed = norm(x, &norm_weight(&name(ff_norm)), c.norm_eps);
            let gated: Vec<f64> = matvec(&gate_w, &normed)
                .into_iter()
                .zip(matvec(&up_w, &normed))
                .map(|(g, u)| activation(c.activation, g) * u)
                .collect();
            let mut y = matvec(&down_w, &gated);
            if c.post_norms {
                y = norm(
                    &y,
                    &norm_weight(&name("post_feedforward_layernorm.weight")),
                    c.norm_eps,
                );
            }
            add(x, &y);
        }
        hidden.push(x.clone());
    }
    let output = if c.tied_embeddings {
        embedding
    } else {
        get("lm_head.weight")
    };
    let final_norm = norm_weight("model.norm.weight");
    let logprobs = x
        .iter()
        .map(|x| {
            let logits = matvec(&output, &norm(x, &final_norm, c.norm_eps));
            let max = logits.iter().copied().fold(f64::MIN, f64::max);
            let total = logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln() + max;
            logits.into_iter().map(|l| l - total).collect()
        })
        .collect();
    Answer { logprobs, hidden }
}

fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

fn rotate(model: &Tiny, head: &mut [f64], position: usize, sliding: bool) {
    let c = &model.config;
    let half = c.d_head / 2;
    let theta = if sliding {
        c.rope_theta_local.unwrap_or(c.rope_theta)
    } else {
        c.rope_theta
    };
    let before = head.to_vec();
    for i in 0..half {
        let plain = theta.powf(-2.0 * i as f64 / c.d_head as f64);
        let frequency = match &c.rope_scaling {
            _ if sliding && c.rope_theta_local.is_some() => plain,
            RopeScaling::None => plain,
            RopeScaling::Linear { factor } => plain / factor,
            RopeScaling::Factors(factors) => plain / f64::from(factors[i]),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context_length,
            } => {
                // As the published code has it: three cases of the wavelength.
                let wavelength = 2.0 * std::f64::consts::PI / plain;
                let original = *original_context_length as f64;
                if wavelength < original / high_freq_factor {
                    plain
                } else if wavelength > original / low_freq_factor {
                    plain / factor
                } else {
                    let smooth = (original / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * plain / factor + smooth * plain
                }
            }
        };
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = match c.rope_pairing {
            RopePairing::Halves => (i, i + half),
            RopePairing::Neighbors => (2 * i, 2 * i + 1),
        };
        head[a] = before[a] * cos - before[b] * sin;
        head[b] = before[b] * cos + before[a] * sin;
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn matvec(w: &[f64], x: &[f64]) -> Vec<f64> {
    w.chunks(x.len()).map(|row| dot(row, x)).collect()
}

fn norm(x: &[f64], weight: &[f64], eps: f32) -> Vec<f64> {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}
