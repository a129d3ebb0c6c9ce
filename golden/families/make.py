"""Goldens of the decoder families: tiny seeded models, logits of transformers.

    python golden/families/make.py

Python packages: torch, transformers, safetensors, numpy. Writes `families.json` beside this file: per
case a `config.json`, the stored tensors (name, shape, what is added to the values), token ids and
the logits at every position (f32, eager attention).

Weights are not stored: value i of tensor `name` is `u * scale + offset`, with u in [-1, 1) from the
top 24 bits of splitmix64(fnv1a64(name) + i); the test makes the same ones.
Configurations are written by hand in the spellings that are found in the wild, old and new.
"""

import json
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

HERE = Path(__file__).parent
VOCAB, N_POSITIONS = 48, 20
BASE = {
    "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": VOCAB, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
NO_GROUPS = {key: value for key, value in BASE.items() if key != "num_key_value_heads"}


def case(name, architecture, model_type, base=BASE, **changes):
    return name, {"architectures": [architecture], "model_type": model_type, **base, **changes}


CASES = [
    case("llama", "LlamaForCausalLM", "llama", rms_norm_eps=1e-5, rope_theta=10000.0),
    case("llama_biases", "LlamaForCausalLM", "llama", attention_bias=True, mlp_bias=True,
         rope_parameters={"rope_type": "default", "rope_theta": 5000.0}),
    case("llama_linear", "LlamaForCausalLM", "llama", rope_scaling={"type": "linear", "factor": 4.0}),
    case("llama_dynamic", "LlamaForCausalLM", "llama", rope_scaling={"rope_type": "dynamic", "factor": 4.0}),
    case("llama_llama3", "LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}),
    case("llama_yarn", "LlamaForCausalLM", "llama", rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 2.0, "beta_slow": 0.25}),
    case("llama_yarn_stated", "LlamaForCausalLM", "llama", rope_parameters={
        "rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 2.0, "beta_slow": 0.25, "truncate": False, "mscale": 0.7, "mscale_all_dim": 0.5}),
    case("mistral_window", "MistralForCausalLM", "mistral", sliding_window=6, head_dim=12),
    case("mistral_full", "MistralForCausalLM", "mistral", sliding_window=None),
    case("qwen2", "Qwen2ForCausalLM", "qwen2", tie_word_embeddings=True),
    case("qwen2_window", "Qwen2ForCausalLM", "qwen2", use_sliding_window=True, sliding_window=5,
         max_window_layers=1),
    case("qwen3", "Qwen3ForCausalLM", "qwen3", head_dim=16, rms_norm_eps=1e-6),
    case("gemma2", "Gemma2ForCausalLM", "gemma2", head_dim=16, query_pre_attn_scalar=20, sliding_window=6,
         attn_logit_softcapping=5.0, final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh",
         num_hidden_layers=3),
    case("gemma3", "Gemma3ForCausalLM", "gemma3_text", head_dim=16, query_pre_attn_scalar=20,
         sliding_window=6, sliding_window_pattern=3, num_hidden_layers=4, rope_theta=1000000.0,
         rope_local_base_freq=10000.0, rope_scaling={"rope_type": "linear", "factor": 8.0}),
    case("phi3", "Phi3ForCausalLM", "phi3", sliding_window=6),
    case("phi3_longrope", "Phi3ForCausalLM", "phi3", original_max_position_embeddings=32,
         partial_rotary_factor=0.75, max_position_embeddings=128, rope_scaling={
             "type": "longrope", "short_factor": [1.0, 1.25, 2.0], "long_factor": [2.0, 4.0, 8.0]}),
    case("olmo2", "Olmo2ForCausalLM", "olmo2", rms_norm_eps=1e-6),
    case("cohere", "CohereForCausalLM", "cohere", logit_scale=0.25),
    case("cohere_normed_heads", "CohereForCausalLM", "cohere", use_qk_norm=True, attention_bias=True,
         layer_norm_eps=1e-4),
    case("gpt2", "GPT2LMHeadModel", "gpt2", base={
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": VOCAB,
        "bos_token_id": 1, "eos_token_id": 2}),
    case("gpt_neox", "GPTNeoXForCausalLM", "gpt_neox", base=NO_GROUPS, rotary_pct=0.25,
         rotary_emb_base=5000),
    case("gpt_neox_in_turn", "GPTNeoXForCausalLM", "gpt_neox", base=NO_GROUPS, use_parallel_residual=False,
         hidden_act="gelu_new", rope_parameters={
             "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    case("bloom", "BloomForCausalLM", "bloom", base={
        "hidden_size": 48, "n_layer": 2, "n_head": 6, "vocab_size": VOCAB, "bos_token_id": 1,
        "eos_token_id": 2}),
]


def values(name, shape, scale, offset):
    """The same as `values` in tests/it/families.rs."""
    mask = (1 << 64) - 1
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & mask
    n = int(numpy.prod(shape))
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(n, dtype=numpy.uint64)
        z = z + numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    u = (z >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(1 << 23) - numpy.float32(1)
    return (u * numpy.float32(scale) + numpy.float32(offset)).reshape(shape)


def scale_offset(name, model_type):
    is_norm = "norm" in name or "ln_" in name
    if is_norm and name.endswith("weight"):
        return 0.3, 0.0 if model_type.startswith("gemma") else 1.0
    return (0.2 if name.endswith("bias") else 0.4), 0.0


def make(name, config, folder):
    (folder / "config.json").write_text(json.dumps(config))
    loaded = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config["architectures"][0])
    model_class(loaded).save_pretrained(folder / "empty", safe_serialization=True)
    tensors, listed = {}, {}
    with safe_open(folder / "empty" / "model.safetensors", "np") as stored:
        for tensor in sorted(stored.keys()):
            shape = list(stored.get_slice(tensor).get_shape())
            scale, offset = scale_offset(tensor, config["model_type"])
            tensors[tensor] = values(tensor, shape, scale, offset)
            listed[tensor] = {"shape": shape, "scale": scale, "offset": offset}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model, info = model_class.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], (name, info)
    ids = [(7 * i * i + 3 * i + 1) % VOCAB for i in range(N_POSITIONS)]
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids]), use_cache=False).logits[0]
    spread = logits.std().item()
    assert 0.05 < spread < 20, (name, spread)
    rows = [[float(f"{x:.6g}") for x in row] for row in logits.tolist()]
    return {"name": name, "config": config, "tensors": listed, "ids": ids, "logits": rows}


def main():
    cases = []
    for name, config in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(make(name, config, Path(folder)))
        print(name, len(cases[-1]["tensors"]))
    head = {"transformers": transformers.__version__, "torch": torch.__version__, "cases": cases}
    lines = json.dumps(head, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "families.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
