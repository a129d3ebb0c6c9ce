//! The slow truth: a decoder in plain `f64` loops, one sequence at a time, no cache.

use isogloss_model::checkpoint::{
    Activation, Config, HeadNorm, NormKind, Positions, Residual, RopePairing, RopeScaling,
};

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
    let normed = |x: &[f64], name: &str| -> Vec<f64> {
        let mut y = norm(c, x, &norm_weight(&format!("{name}.weight")));
        if c.norm_bias {
            add(&mut y, &get(&format!("{name}.bias")));
        }
        y
    };
    let linear = |x: &[f64], name: &str, bias: bool| -> Vec<f64> {
        let mut y = matvec(&get(&format!("{name}.weight")), x);
        if bias {
            add(&mut y, &get(&format!("{name}.bias")));
        }
        y
    };
    let embedding = get("model.embed_tokens.weight");
    let mut x: Vec<Vec<f64>> = ids
        .iter()
        .enumerate()
        .map(|(t, id)| {
            let row = &embedding[*id as usize * c.d_model..][..c.d_model];
            let mut row: Vec<f64> = row
                .iter()
                .map(|x| x * f64::from(c.embedding_scale))
                .collect();
            if c.positions == Positions::Learned {
                let positions = get("model.embed_positions.weight");
                add(&mut row, &positions[t * c.d_model..][..c.d_model]);
            }
            if c.embedding_norm {
                row = normed(&row, "model.embed_layernorm");
            }
            row
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

        let inputs: Vec<Vec<f64>> = x
            .iter()
            .map(|x| {
                if c.pre_norms {
                    normed(x, &name("input_layernorm"))
                } else {
                    x.clone()
                }
            })
            .collect();
        let project = |part: &str| -> Vec<Vec<f64>> {
            let name = name(&format!("self_attn.{part}_proj"));
            inputs
                .iter()
                .map(|x| linear(x, &name, c.qkv_bias))
                .collect()
        };
        let (mut q, mut k, v) = (project("q"), project("k"), project("v"));
        for (rows, which) in [(&mut q, "q"), (&mut k, "k")] {
            let weight = || norm_weight(&name(&format!("self_attn.{which}_norm.weight")));
            for (position, row) in rows.iter_mut().enumerate() {
                if c.head_norm == HeadNorm::Whole {
                    *row = norm(c, row, &weight());
                }
                for (h, head) in row.chunks_mut(c.d_head).enumerate() {
                    match c.head_norm {
                        HeadNorm::None | HeadNorm::Whole => {}
                        HeadNorm::Shared => head.copy_from_slice(&norm(c, head, &weight())),
                        HeadNorm::Own => {
                            let own = &weight()[h * c.d_head..][..c.d_head];
                            head.copy_from_slice(&norm(c, head, own));
                        }
                    }
                    if c.positions == Positions::Rotary {
                        rotate(model, head, position, sliding);
                    }
                }
            }
        }
        let group = c.n_heads / c.n_kv_heads;
        let attention: Vec<Vec<f64>> = (0..ids.len())
            .map(|t| {
                let mut mixed = vec![0.0; c.n_heads * c.d_head];
                for h in 0..c.n_heads {
                    let (qs, ks) = (h * c.d_head, h / group * c.d_head);
                    let first = (t + 1).saturating_sub(window);
                    let scores: Vec<f64> = (first..=t)
                        .map(|s| {
                            let score = dot(&q[t][qs..qs + c.d_head], &k[s][ks..ks + c.d_head])
                                * f64::from(c.attention_scale);
                            let score = capped(score, c.attention_softcap);
                            if c.positions == Positions::Alibi {
                                score + alibi_slope(c.n_heads, h) * s as f64
                            } else {
                                score
                            }
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
                let y = linear(&mixed, &name("self_attn.o_proj"), c.out_bias);
                if c.post_norms {
                    normed(&y, &name("post_attention_layernorm"))
                } else {
                    y
                }
            })
            .collect();
        let ff_norm = if c.post_norms {
            "pre_feedforward_layernorm"
        } else {
            "post_attention_layernorm"
        };
        for ((x, attention), input) in x.iter_mut().zip(&attention).zip(&inputs) {
            let before = x.clone();
            add(x, attention);
            let input = match c.residual {
                Residual::Parallel => input.clone(),
                Residual::ParallelTwoNorms => normed(&before, &name(ff_norm)),
                Residual::Sequential if c.pre_norms => normed(x, &name(ff_norm)),
                Residual::Sequential => x.clone(),
            };
            let up = linear(&input, &name("mlp.up_proj"), c.ff_bias);
            let inner: Vec<f64> = if c.gated {
                linear(&input, &name("mlp.gate_proj"), c.ff_bias)
                    .into_iter()
                    .zip(up)
                    .map(|(g, u)| activation(c.activation, g) * u)
                    .collect()
            } else {
                up.into_iter()
                    .map(|u| activation(c.activation, u))
                    .collect()
            };
            let mut y = linear(&inner, &name("mlp.down_proj"), c.ff_bias);
            if c.post_norms {
                y = normed(&y, &name("post_feedforward_layernorm"));
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
    let logprobs = x
        .iter()
        .map(|x| {
            let logits: Vec<f64> = matvec(&output, &normed(x, "model.norm"))
                .into_iter()
                .map(|l| capped(l * f64::from(c.logit_scale), c.logit_softcap))
                .collect();
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
        Activation::Gelu => x * normal_cdf(x),
    }
}

/// Φ(x) by its series: Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/15 + …).
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn capped(x: f64, cap: Option<f32>) -> f64 {
    cap.map_or(x, |cap| f64::from(cap) * (x / f64::from(cap)).tanh())
}

/// As the paper has it for six heads: those of four, then every other one of eight.
fn alibi_slope(n_heads: usize, head: usize) -> f64 {
    assert_eq!(n_heads, 6);
    let exponents = [2.0, 4.0, 6.0, 8.0, 1.0, 3.0];
    2.0_f64.powf(-exponents[head])
}

fn rotate(model: &Tiny, head: &mut [f64], position: usize, sliding: bool) {
    let c = &model.config;
    let half = c.d_rotary / 2;
    let theta = if sliding {
        c.rope_theta_local.unwrap_or(c.rope_theta)
    } else {
        c.rope_theta
    };
    let before = head.to_vec();
    for i in 0..half {
        let plain = theta.powf(-2.0 * i as f64 / c.d_rotary as f64);
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
            // Factor 4, original context 50, θ 10,000, d 8: the pair that turns 32 times is
            // 8 ln(50 / 64π) / (2 ln 10⁴) < 0 -> 0, once 8 ln(50 / 2π) / (2 ln 10⁴) = .9 -> 1.
            RopeScaling::Yarn { factor, .. } => {
                if i == 0 {
                    plain
                } else {
                    plain / factor
                }
            }
        };
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let magnitude = f64::from(if sliding && c.rope_theta_local.is_some() {
            1.0
        } else {
            c.rope_magnitude
        });
        let (sin, cos) = (sin * magnitude, cos * magnitude);
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

/// Norm of a row or a head, without bias.
fn norm(c: &Config, x: &[f64], weight: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = match c.norm {
        NormKind::Rms => 0.0,
        NormKind::Layer => x.iter().sum::<f64>() / n,
    };
    let centered: Vec<f64> = x.iter().map(|x| x - mean).collect();
    let scale = 1.0 / (dot(&centered, &centered) / n + f64::from(c.norm_eps)).sqrt();
    centered
        .iter()
        .zip(weight)
        .map(|(x, w)| x * scale * w)
        .collect()
}
