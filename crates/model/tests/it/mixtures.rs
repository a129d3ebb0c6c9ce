//! Whole models in every format against `llama-quantize`, byte for byte.

use isogloss_model::checkpoint::write::GgufWriter;
use isogloss_model::checkpoint::{Checkpoint, Dtype, Format};

use crate::files::golden;

struct Shape {
    name: &'static str,
    architecture: &'static str,
    n_layers: usize,
    width: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head: usize,
    ff: usize,
    tied: bool,
}

const VOCABULARY: usize = 64;

/// As in `golden/quantize/make.py`.
const MODELS: [Shape; 3] = [
    Shape {
        name: "wide",
        architecture: "llama",
        n_layers: 8,
        width: 256,
        n_heads: 2,
        n_kv_heads: 1,
        head: 32,
        ff: 256,
        tied: true,
    },
    Shape {
        name: "narrow",
        architecture: "llama",
        n_layers: 4,
        width: 96,
        n_heads: 4,
        n_kv_heads: 1,
        head: 32,
        ff: 512,
        tied: false,
    },
    Shape {
        name: "fused",
        architecture: "phi3",
        n_layers: 4,
        width: 256,
        n_heads: 8,
        n_kv_heads: 8,
        head: 32,
        ff: 256,
        tied: false,
    },
];

/// The weights of `make.py`: sums of four sixteenths of a counter's bits, some zeros, some outliers.
fn weights(seed: usize, n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| {
            let z = (i as u64).wrapping_add((seed as u64) << 32);
            let z = z
                .wrapping_add(0x9e37_79b9_7f4a_7c15)
                .wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let z = z ^ (z >> 31);
            let sum: u64 = (0..4).map(|k| z >> (16 * k) & 0xffff).sum();
            let x = (sum as f64 - 131_070.0) / f64::from(1 << 20);
            let x = if i / 16 % 97 == 5 { 0.0 } else { x };
            (if i % 1013 == 7 { x * 16.0 } else { x }) as f32
        })
        .collect()
}

fn tensors(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let Shape {
        width, head, ff, ..
    } = *shape;
    let (d_q, d_kv) = (shape.n_heads * head, shape.n_kv_heads * head);
    let is_fused = shape.architecture == "phi3";
    let mut all = vec![("token_embd.weight".to_owned(), vec![VOCABULARY, width])];
    for layer in 0..shape.n_layers {
        let mut add = |part: &str, dims: &[usize]| {
            all.push((format!("blk.{layer}.{part}.weight"), dims.to_vec()));
        };
        add("attn_norm", &[width]);
        if is_fused {
            add("attn_qkv", &[d_q + 2 * d_kv, width]);
        } else {
            add("attn_q", &[d_q, width]);
            add("attn_k", &[d_kv, width]);
            add("attn_v", &[d_kv, width]);
        }
        add("attn_output", &[width, d_q]);
        add("ffn_norm", &[width]);
        if is_fused {
            add("ffn_up", &[2 * ff, width]);
        } else {
            add("ffn_gate", &[ff, width]);
            add("ffn_up", &[ff, width]);
        }
        add("ffn_down", &[width, ff]);
    }
    all.push(("output_norm.weight".to_owned(), vec![width]));
    if !shape.tied {
        all.push(("output.weight".to_owned(), vec![VOCABULARY, width]));
    }
    all
}

fn checkpoint(shape: &Shape) -> Checkpoint {
    let mut gguf = GgufWriter::new(shape.architecture);
    let mut number =
        |key: &str, n: usize| gguf.u32(&format!("{}.{key}", shape.architecture), n as u32);
    number("block_count", shape.n_layers);
    number("context_length", 64);
    number("embedding_length", shape.width);
    number("feed_forward_length", shape.ff);
    number("attention.head_count", shape.n_heads);
    number("attention.head_count_kv", shape.n_kv_heads);
    number("attention.key_length", shape.head);
    number("attention.value_length", shape.head);
    number("rope.dimension_count", shape.head);
    number("vocab_size", VOCABULARY);
    gguf.f32(
        &format!("{}.attention.layer_norm_rms_epsilon", shape.architecture),
        1e-5,
    );
    for (seed, (name, dims)) in tensors(shape).into_iter().enumerate() {
        let values = weights(seed, dims.iter().product());
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        gguf.tensor(&name, &dims, Dtype::F32, bytes);
    }
    Checkpoint::of_gguf_bytes(shape.name, gguf.to_bytes()).unwrap()
}

/// The tensors in Hugging Face layout that make up one of the file's, in the order of its rows.
fn parts(gguf_name: &str) -> Vec<String> {
    match gguf_name {
        "token_embd.weight" => return vec!["model.embed_tokens.weight".to_owned()],
        "output.weight" => return vec!["lm_head.weight".to_owned()],
        _ => {}
    }
    let (layer, part) = gguf_name
        .strip_prefix("blk.")
        .and_then(|name| name.split_once('.'))
        .unwrap();
    let names: &[&str] = match part {
        "attn_q.weight" => &["self_attn.q_proj"],
        "attn_k.weight" => &["self_attn.k_proj"],
        "attn_v.weight" => &["self_attn.v_proj"],
        "attn_qkv.weight" => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attn_output.weight" => &["self_attn.o_proj"],
        "ffn_gate.weight" => &["mlp.gate_proj"],
        "ffn_up.weight" => &["mlp.up_proj"],
        "ffn_gate_up.weight" => &["mlp.gate_proj", "mlp.up_proj"],
        "ffn_down.weight" => &["mlp.down_proj"],
        other => panic!("{other}"),
    };
    (names.iter())
        .map(|name| format!("model.layers.{layer}.{name}.weight"))
        .collect()
}

#[test]
fn every_tensor_of_every_format_equals_llama_cpp_s_byte_for_byte() {
    let golden = golden("quantize/tensors.json");
    let mut kinds = std::collections::BTreeSet::new();
    for shape in &MODELS {
        for format in Format::ALL {
            let model = checkpoint(shape).at(format);
            let want = golden[shape.name][format.name()].as_object().unwrap();
            for (name, want) in want {
                let is_gate_up = shape.architecture == "phi3" && name.contains("ffn_up");
                let name = if is_gate_up {
                    name.replace("ffn_up", "ffn_gate_up")
                } else {
                    name.clone()
                };
                let mut hash = blake3::Hasher::new();
                let mut dtype = None;
                for part in parts(&name) {
                    let tensor = model.tensor(&part).unwrap();
                    hash.update(stored(&tensor));
                    dtype = Some(tensor.dtype);
                }
                let hash = hash.finalize().to_hex();
                let got = format!("{} {}", dtype.unwrap(), &hash[..16]);
                assert_eq!(
                    got,
                    want.as_str().unwrap(),
                    "{} {format} {name}",
                    shape.name
                );
                kinds.insert(dtype.unwrap());
            }
        }
    }
    // Every format that can be written was written.
    assert_eq!(
        kinds.len(),
        isogloss_model::checkpoint::write::WRITABLE.len()
    );
}

/// The bytes of a tensor's own rows.
fn stored<'a>(tensor: &isogloss_model::checkpoint::Tensor<'a>) -> &'a [u8] {
    use isogloss_model::checkpoint::View;
    let row_bytes = tensor.dtype.n_bytes(tensor.row_len()).unwrap();
    match tensor.view {
        View::Whole => tensor.bytes,
        View::Rows { first, .. } => {
            let start = first * row_bytes;
            &tensor.bytes[start..start + tensor.n_rows() * row_bytes]
        }
        View::Columns { .. } => panic!("no tensor of these models is stored transposed"),
    }
}

#[test]
fn another_format_is_another_model_and_says_so() {
    let shape = &MODELS[1];
    let plain = checkpoint(shape).fingerprint("m");
    let small = checkpoint(shape).at(Format::Q4_K_M).fingerprint("m");
    assert_eq!(small.quantization, "Q4_K_M from F32");
    assert_ne!(plain.hash, small.hash);
    assert_eq!(small.n_parameters, plain.n_parameters);
    // The same bytes again; another format, other bytes.
    assert_eq!(
        small.hash,
        checkpoint(shape).at(Format::Q4_K_M).fingerprint("m").hash
    );
    assert_ne!(
        small.hash,
        checkpoint(shape).at(Format::Q4_K_S).fingerprint("m").hash
    );
    // A model that is in a format keeps the bytes of its tensors.
    let once = checkpoint(shape).at(Format::Q5_1);
    let twice = checkpoint(shape).at(Format::Q5_1).at(Format::Q5_1);
    for name in once.tensor_names() {
        assert_eq!(
            once.tensor(name).unwrap().bytes,
            twice.tensor(name).unwrap().bytes,
            "{name}"
        );
    }
}
