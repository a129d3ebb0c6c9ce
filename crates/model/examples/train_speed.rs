//! Speed of training: tokens per second of forward and backward, 4 texts of 256 tokens, at the shape
//! of SmolLM2-135M with random weights.
//!
//! ```text
//! cargo run --release -p isogloss-model --example train_speed -- [THREADS [all|inputs]]
//! ```
//! `all` keeps every activation, `inputs` only the blocks' inputs. All tensors are trained; the best
//! of three steps after the first, by the clock and by processor time (what a machine of its own
//! would give if no thread waited for another: it leaves out time in which other programs had the
//! processors).

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Instant;

use isogloss_model::TensorSource;
use isogloss_model::checkpoint::{Dtype, Tensor, View, config_of_json};
use isogloss_model::train::{AdamW, Keep, Sequence, TrainOptions, Trainee};

const CONFIG: &str = r#"{
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    "bos_token_id": 1, "eos_token_id": 2
}"#;

/// Tensors that share one pool of pseudo-random values; norms are 1.
struct Random {
    shapes: BTreeMap<String, Vec<usize>>,
    values: Vec<u8>,
    ones: Vec<u8>,
}

impl TensorSource for Random {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, shape) = self.shapes.get_key_value(name)?;
        let n_bytes = 4 * shape.iter().product::<usize>();
        let from = if shape.len() == 1 {
            &self.ones
        } else {
            &self.values
        };
        Some(Tensor {
            name: Cow::Borrowed(name),
            shape: shape.clone(),
            dtype: Dtype::F32,
            bytes: &from[..n_bytes],
            view: View::Whole,
            change: None,
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let threads: usize = args.next().map_or(Ok(2), |n| n.parse())?;
    let keep = match args.next().as_deref() {
        None | Some("all") => Keep::All,
        Some("inputs") => Keep::BlockInputs,
        Some(other) => return Err(format!("`{other}` is neither `all` nor `inputs`").into()),
    };
    let config = config_of_json(
        "config.json".as_ref(),
        &serde_json::from_str(CONFIG)?,
        1_000,
    )?;
    let (d, n_kv) = (config.d_model, config.n_kv_heads * config.d_head);
    let mut shapes = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    add("model.embed_tokens.weight".into(), &[config.vocab_size, d]);
    add("model.norm.weight".into(), &[d]);
    for layer in 0..config.n_layers {
        for (part, shape) in [
            ("input_layernorm", &[d][..]),
            ("post_attention_layernorm", &[d]),
            ("self_attn.q_proj", &[d, d]),
            ("self_attn.k_proj", &[n_kv, d]),
            ("self_attn.v_proj", &[n_kv, d]),
            ("self_attn.o_proj", &[d, d]),
            ("mlp.gate_proj", &[config.d_ff, d]),
            ("mlp.up_proj", &[config.d_ff, d]),
            ("mlp.down_proj", &[d, config.d_ff]),
        ] {
            add(format!("model.layers.{layer}.{part}.weight"), shape);
        }
    }
    let mut state = 1_u32;
    let random = (0..config.vocab_size * d).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 * 0.06 - 0.03).to_le_bytes()
    });
    let source = Random {
        shapes,
        values: random.collect(),
        ones: 1.0_f32.to_le_bytes().repeat(d),
    };
    let options = TrainOptions {
        threads: NonZeroUsize::new(threads),
        keep,
        ..TrainOptions::default()
    };
    let mut trainee = Trainee::load(&config, &source, |_| true, &options)?;
    drop(source);
    let batch: Vec<Sequence> = (0..4)
        .map(|s: u32| {
            let ids = (0..257).map(|i| (s * 7919 + i).wrapping_mul(2_654_435_761) % 49_152);
            Sequence::whole(ids.collect())
        })
        .collect();
    let n_tokens = 4.0 * 256.0;
    let mut times = Vec::new();
    for step in 0..4 {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let logprobs = trainee.forward(&batch)?;
        let forward = start.elapsed().as_secs_f64();
        let loss = -logprobs.concat().iter().sum::<f64>() / n_tokens;
        let derivatives: Vec<Vec<f64>> = logprobs
            .iter()
            .map(|l| vec![-1.0 / n_tokens; l.len()])
            .collect();
        trainee.backward(&derivatives)?;
        let both = start.elapsed().as_secs_f64();
        let busy = (cpu_seconds() - cpu) / threads as f64;
        trainee.update(&AdamW::default());
        let all = start.elapsed().as_secs_f64();
        println!(
            "step {step}: loss {loss:.4}, forward {forward:.2} s, backward {:.2} s (processors {busy:.2} s), update {:.2} s",
            both - forward,
            all - both
        );
        // The first step grows the buffers.
        if step > 0 {
            times.push((both, busy));
        }
    }
    let best = |of: fn(&(f64, f64)) -> f64| times.iter().map(of).fold(f64::INFINITY, f64::min);
    println!(
        "forward and backward, {threads} threads, {keep:?}: {:.0} tokens/s by the clock, {:.0} by processor time",
        n_tokens / best(|(clock, _)| *clock),
        n_tokens / best(|(_, busy)| *busy)
    );
    let status =
        isogloss_record::files::read_to_string("/proc/self/status".as_ref()).unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("most memory: {}", peak.trim_start_matches("VmHWM:").trim());
    }
    Ok(())
}

/// Seconds of processor time of this process so far (Linux; elsewhere 0), in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat =
        isogloss_record::files::read_to_string("/proc/self/stat".as_ref()).unwrap_or_default();
    // After the name in parentheses: user and system time are the 12th and 13th fields.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
