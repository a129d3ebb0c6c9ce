//! Formats that a model is deployed in, and which tensor gets which: llama.cpp's mixtures.
//!
//! A mixture spends more bits where a model is sensitive: on the output layer, on attention values,
//! on the feed-forward output of some blocks. Rows that the format's blocks do not divide fall back
//! to a format of smaller blocks.
//!
//! ```
//! use isogloss_model::checkpoint::Format;
//! assert_eq!("q4_k_m".parse::<Format>().unwrap(), Format::Q4_K_M);
//! assert!("q9".parse::<Format>().unwrap_err().to_string().contains("q4_k_m"));
//! ```
//!
//! Source: `llama-quant.cpp` of llama.cpp at 0c1e570 (`llama_tensor_get_type_impl`,
//! `tensor_type_fallback`, `tensor_allows_quantization`), without importance matrix.

use std::fmt;
use std::str::FromStr;

use super::config::{Config, Family};
use super::tensor::Dtype;

/// A format of a whole model, by llama.cpp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(non_camel_case_types, reason = "the formats' own names")]
#[allow(missing_docs, reason = "the formats' own names")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q8_0,
    Q6_K,
    Q5_K_M,
    Q5_K_S,
    Q5_1,
    Q5_0,
    Q4_K_M,
    Q4_K_S,
    Q4_1,
    Q4_0,
    Q3_K_L,
    Q3_K_M,
    Q3_K_S,
    Q2_K,
}

impl Format {
    /// All, from many bits to few.
    pub const ALL: [Self; 17] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q6_K,
        Self::Q5_K_M,
        Self::Q5_K_S,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_K_M,
        Self::Q4_K_S,
        Self::Q4_1,
        Self::Q4_0,
        Self::Q3_K_L,
        Self::Q3_K_M,
        Self::Q3_K_S,
        Self::Q2_K,
    ];

    /// Its name, lower case: `q4_k_m`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q6_K => "q6_k",
            Self::Q5_K_M => "q5_k_m",
            Self::Q5_K_S => "q5_k_s",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_K_M => "q4_k_m",
            Self::Q4_K_S => "q4_k_s",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Q3_K_L => "q3_k_l",
            Self::Q3_K_M => "q3_k_m",
            Self::Q3_K_S => "q3_k_s",
            Self::Q2_K => "q2_k",
        }
    }

    /// What most of its tensors are.
    fn main(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            Self::Q8_0 => Dtype::Q8_0,
            Self::Q6_K => Dtype::Q6_K,
            Self::Q5_K_M | Self::Q5_K_S => Dtype::Q5_K,
            Self::Q5_1 => Dtype::Q5_1,
            Self::Q5_0 => Dtype::Q5_0,
            Self::Q4_K_M | Self::Q4_K_S => Dtype::Q4_K,
            Self::Q4_1 => Dtype::Q4_1,
            Self::Q4_0 => Dtype::Q4_0,
            Self::Q3_K_L | Self::Q3_K_M | Self::Q3_K_S => Dtype::Q3_K,
            Self::Q2_K => Dtype::Q2_K,
        }
    }

    /// The format of a matrix with rows of `row_len` values, by its name in Hugging Face layout;
    /// `None` for what stays as it is: vectors, norms, positions.
    pub(crate) fn of_tensor(
        self,
        name: &str,
        row_len: usize,
        config: &Config,
        is_tied: bool,
    ) -> Option<Dtype> {
        let part = Part::of(name, config.family)?;
        let main = self.main();
        if main.block_len() == 1 {
            return Some(main);
        }
        let chosen = self.of_part(part, row_len, config, is_tied);
        Some(fallback(chosen, row_len))
    }

    fn of_part(self, part: Part, row_len: usize, config: &Config, is_tied: bool) -> Dtype {
        let main = self.main();
        let n = config.n_layers;
        let shares_values = config.n_heads / config.n_kv_heads.max(1);
        match part {
            Part::Output => output(main, row_len),
            Part::Embedding if is_tied => output(main, row_len),
            Part::Values(layer) => {
                let chosen = match self {
                    Self::Q2_K if shares_values >= 4 => Dtype::Q4_K,
                    Self::Q2_K => Dtype::Q3_K,
                    Self::Q3_K_M if layer < 2 => Dtype::Q5_K,
                    Self::Q3_K_M => Dtype::Q4_K,
                    Self::Q3_K_L => Dtype::Q5_K,
                    Self::Q4_K_M | Self::Q5_K_M if more_bits(layer, n) => Dtype::Q6_K,
                    Self::Q4_K_S if layer < 4 => Dtype::Q5_K,
                    _ => main,
                };
                match chosen {
                    Dtype::Q3_K | Dtype::Q4_K if is_70b(config) => Dtype::Q5_K,
                    chosen => chosen,
                }
            }
            Part::Down(layer) => match self {
                Self::Q2_K => Dtype::Q3_K,
                Self::Q3_K_M if layer < n / 16 => Dtype::Q5_K,
                Self::Q3_K_M => Dtype::Q4_K,
                Self::Q3_K_L => Dtype::Q5_K,
                Self::Q4_K_M | Self::Q5_K_M if more_bits(layer, n) => Dtype::Q6_K,
                Self::Q4_K_S if layer < n / 8 => Dtype::Q5_K,
                _ => main,
            },
            Part::AttentionOutput => match self {
                Self::Q2_K => Dtype::Q3_K,
                Self::Q3_K_M => Dtype::Q4_K,
                Self::Q3_K_L => Dtype::Q5_K,
                _ => main,
            },
            Part::Embedding | Part::Other => main,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no format: expected one of {}", Format::ALL.map(Format::name).join(", "))]
pub struct FormatError {
    /// What was given.
    pub found: String,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        (Self::ALL.into_iter())
            .find(|format| format.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| FormatError {
                found: text.to_owned(),
            })
    }
}

/// What a matrix is, as far as mixtures care; with its block where they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Embedding,
    Output,
    Values(usize),
    Down(usize),
    AttentionOutput,
    Other,
}

impl Part {
    fn of(name: &str, family: Family) -> Option<Self> {
        // llama.cpp stores these families' queries, keys and values as one tensor, which is treated
        // as values.
        let is_fused = matches!(
            family,
            Family::Phi3 | Family::Gpt2 | Family::GptNeoX | Family::Bloom
        );
        match name {
            "model.embed_tokens.weight" => return Some(Self::Embedding),
            "lm_head.weight" => return Some(Self::Output),
            _ => {}
        }
        let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let layer = layer.parse().ok()?;
        Some(match part {
            "self_attn.v_proj.weight" => Self::Values(layer),
            "self_attn.q_proj.weight" | "self_attn.k_proj.weight" if is_fused => {
                Self::Values(layer)
            }
            "mlp.down_proj.weight" => Self::Down(layer),
            "self_attn.o_proj.weight" => Self::AttentionOutput,
            "self_attn.q_proj.weight"
            | "self_attn.k_proj.weight"
            | "mlp.gate_proj.weight"
            | "mlp.up_proj.weight" => Self::Other,
            _ => return None,
        })
    }
}

/// The output layer, or the embedding that serves as one.
fn output(main: Dtype, row_len: usize) -> Dtype {
    if !row_len.is_multiple_of(main.block_len()) || main == Dtype::Q8_0 {
        Dtype::Q8_0
    } else {
        Dtype::Q6_K
    }
}

/// Blocks that get more bits: the first and last eighth, and every third between.
fn more_bits(layer: usize, n_layers: usize) -> bool {
    let first = n_layers / 8;
    layer < first || layer >= 7 * n_layers / 8 || (layer - first) % 3 == 2
}

/// Models of 80 blocks whose heads share values: llama.cpp's type 70B.
fn is_70b(config: &Config) -> bool {
    config.n_layers == 80
        && match config.family {
            Family::Llama | Family::Mistral => config.n_heads != config.n_kv_heads,
            Family::Qwen2 => true,
            _ => false,
        }
}

/// What rows get that blocks of 256 do not divide; F16 where 32 does not either.
fn fallback(dtype: Dtype, row_len: usize) -> Dtype {
    if row_len.is_multiple_of(dtype.block_len()) {
        return dtype;
    }
    let smaller = match dtype {
        Dtype::Q2_K | Dtype::Q3_K => Dtype::Q4_0,
        Dtype::Q4_K => Dtype::Q5_0,
        Dtype::Q5_K => Dtype::Q5_1,
        Dtype::Q6_K => Dtype::Q8_0,
        other => other,
    };
    if row_len.is_multiple_of(smaller.block_len()) {
        smaller
    } else {
        Dtype::F16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_refused_with_the_list() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
            assert_eq!(format.name().to_uppercase().parse(), Ok(format));
        }
        let error = "q4".parse::<Format>().unwrap_err().to_string();
        assert!(
            error.starts_with("`q4` is no format") && error.contains("q2_k"),
            "{error}"
        );
    }

    #[test]
    fn more_bits_by_hand() {
        // 30 blocks: the first 3 (30/8), from 26 on (210/8), and 5, 8, 11, … between.
        let with: Vec<usize> = (0..30).filter(|&layer| more_bits(layer, 30)).collect();
        assert_eq!(with, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29]);
    }

    #[test]
    fn rows_that_blocks_do_not_divide_fall_back() {
        for (dtype, row_len, want) in [
            (Dtype::Q4_K, 576, Dtype::Q5_0),
            (Dtype::Q5_K, 576, Dtype::Q5_1),
            (Dtype::Q6_K, 576, Dtype::Q8_0),
            (Dtype::Q3_K, 576, Dtype::Q4_0),
            (Dtype::Q4_K, 1536, Dtype::Q4_K),
            (Dtype::Q4_K, 100, Dtype::F16),
            (Dtype::Q4_0, 100, Dtype::F16),
        ] {
            assert_eq!(fallback(dtype, row_len), want, "{dtype} {row_len}");
        }
    }
}
