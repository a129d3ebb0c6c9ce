"""Goldens of the decoder families in GGUF: llama.cpp's converter, logits of transformers.

    python golden/families/make_gguf.py LLAMA_CPP

LLAMA_CPP is a checkout that holds `convert_hf_to_gguf.py` and `gguf-py`. Python packages: torch,
transformers, safetensors, numpy, zstandard. Writes `NAME.gguf.zst` and `gguf.json` beside this file: per case
token ids and the logits at every position (f32, eager attention) of the folder that was converted.

Weights lie on a grid of sixteenths, so that the files compress well; the vocabulary is a list of names
(ids are given, no text is tokenized).
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.numpy import load_file, save_file

from make import BASE, N_POSITIONS, NO_GROUPS, VOCAB, case, make

HERE = Path(__file__).parent
CASES = [
    case("llama_gguf", "LlamaForCausalLM", "llama", rms_norm_eps=1e-5, rope_theta=10000.0,
         tie_word_embeddings=False),
    case("llama_linear_gguf", "LlamaForCausalLM", "llama", rms_norm_eps=1e-5, rope_theta=10000.0,
         rope_scaling={"type": "linear", "rope_type": "linear", "factor": 4.0}),
    case("qwen2_yarn_gguf", "Qwen2ForCausalLM", "qwen2", rms_norm_eps=1e-6, rope_theta=10000.0, rope_scaling={
        "type": "yarn", "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}),
    case("gemma2_gguf", "Gemma2ForCausalLM", "gemma2", head_dim=16, query_pre_attn_scalar=16, sliding_window=6,
         attn_logit_softcapping=5.0, final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh",
         num_hidden_layers=3, rms_norm_eps=1e-6),
    case("phi3_gguf", "Phi3ForCausalLM", "phi3", rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=64,
         original_max_position_embeddings=64),
    case("phi3_longrope_gguf", "Phi3ForCausalLM", "phi3", rms_norm_eps=1e-5, rope_theta=10000.0,
         original_max_position_embeddings=32, max_position_embeddings=128, sliding_window=256, rope_scaling={
             "type": "longrope", "rope_type": "longrope", "short_factor": [1.0, 1.25, 2.0, 2.5],
             "long_factor": [2.0, 4.0, 8.0, 9.0]}),
    case("olmo2_gguf", "Olmo2ForCausalLM", "olmo2", rms_norm_eps=1e-6, rope_theta=500000.0),
    case("cohere_gguf", "CohereForCausalLM", "cohere", logit_scale=0.25, layer_norm_eps=1e-5,
         rope_theta=10000.0, use_qk_norm=True, model_max_length=64),
    case("gpt2_gguf", "GPT2LMHeadModel", "gpt2", base={
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_ctx": 64, "vocab_size": VOCAB,
        "layer_norm_epsilon": 1e-5, "bos_token_id": 1, "eos_token_id": 2}),
    case("gpt_neox_gguf", "GPTNeoXForCausalLM", "gpt_neox", base=NO_GROUPS, rotary_pct=0.25,
         rotary_emb_base=10000, layer_norm_eps=1e-5, use_parallel_residual=True),
    case("bloom_gguf", "BloomForCausalLM", "bloom", base={
        "hidden_size": 48, "n_layer": 2, "n_head": 6, "vocab_size": VOCAB, "layer_norm_epsilon": 1e-5,
        "seq_length": 64, "bos_token_id": 1, "eos_token_id": 2}),
]


def logits(folder, config):
    model = getattr(transformers, config["architectures"][0]).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    ids = [(7 * i * i + 3 * i + 1) % VOCAB for i in range(N_POSITIONS)]
    with torch.no_grad():
        rows = model.eval()(torch.tensor([ids]), use_cache=False).logits[0].tolist()
    return ids, [[float(f"{x:.6g}") for x in row] for row in rows]


def convert(folder, config, out, converter, gguf):
    model_class = converter.ModelBase.from_model_architecture(config["architectures"][0])
    model = model_class(folder, gguf.LlamaFileType.ALL_F32, out)

    def vocabulary():
        model.gguf_writer.add_tokenizer_model("gpt2")
        model.gguf_writer.add_tokenizer_pre("default")
        model.gguf_writer.add_token_list([f"t{i}" for i in range(VOCAB)])
        model.gguf_writer.add_token_types([gguf.TokenType.NORMAL] * VOCAB)

    model.set_vocab = vocabulary
    model.write()


def main():
    llama_cpp = Path(sys.argv[1])
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import convert_hf_to_gguf as converter
    import gguf
    import zstandard

    # The converter reads settings through transformers, whose version 5 spells them otherwise.
    converter.ModelBase.load_hparams = staticmethod(
        lambda folder: json.loads((folder / "config.json").read_text()))
    cases = []
    for name, config in CASES:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            make(name, config, folder)
            tensors = {key: numpy.round(value * 16) / numpy.float32(16)
                       for key, value in load_file(folder / "model.safetensors").items()}
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
            ids, rows = logits(folder, config)
            convert(folder, config, folder / "model.gguf", converter, gguf)
            data = (folder / "model.gguf").read_bytes()
            (HERE / f"{name}.gguf.zst").write_bytes(zstandard.ZstdCompressor(19).compress(data))
            cases.append({"name": name, "ids": ids, "logits": rows})
            print(name, len(data))
    lines = json.dumps({"cases": cases}, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "gguf.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
