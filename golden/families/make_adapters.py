"""Goldens of adapters: PEFT's model over tiny seeded bases, logits at every position.

    python golden/families/make_adapters.py

Python packages: torch, transformers, peft, safetensors, numpy. Writes `adapters.json` beside this
file: per case the base (a case of `families.json` or `gguf.json`), the `adapter_config.json` that PEFT
wrote, the stored tensors (values as in `make.py`, of the name `adapter:NAME`), token ids and logits.

Every adapter is written as a folder and loaded again by `PeftModel.from_pretrained`, so the logits are
those of what a user would load, not of what was trained.
"""

import json
import tempfile
import warnings
from pathlib import Path

import numpy
import peft
import torch
import transformers
from safetensors.numpy import load_file, save_file

import make as families
import make_gguf
from make import VOCAB, scale_offset, values

HERE = Path(__file__).parent
N_POSITIONS = 10
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
GPT2 = ["c_attn", "c_proj", "c_fc"]
NEOX = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
PHI3 = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


def lora(name, base, **settings):
    return name, base, peft.LoraConfig(task_type="CAUSAL_LM", **{"r": 4, "lora_alpha": 6, **settings})


CASES = [
    lora("lora", "llama", target_modules=ALL),
    lora("rslora_patterns", "llama", target_modules=ALL, use_rslora=True,
         rank_pattern={"q_proj": 2, r"model\.layers\.1\.mlp\.(gate|down)_proj": 7, "layers.1.mlp.up_proj": 3},
         alpha_pattern={"layers.0.self_attn.v_proj": 20, "down_proj": 1}),
    lora("dora", "llama", target_modules=ALL, use_dora=True),
    lora("embedding", "llama", target_modules=["embed_tokens", "lm_head", "q_proj"]),
    lora("embedding_dora", "llama", target_modules=["embed_tokens", "lm_head"], use_dora=True),
    lora("saved", "llama", target_modules=["v_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    lora("saved_norms", "llama", target_modules=["v_proj"], modules_to_save=["input_layernorm", "mlp.up_proj"]),
    lora("token_rows", "llama", target_modules=["o_proj"], trainable_token_indices=[40, 3, 17, 1]),
    lora("pattern_biases", "llama_biases", target_modules=r".*\.(q|up)_proj", bias="lora_only"),
    lora("all_biases", "llama_biases", target_modules=["k_proj"], bias="all", use_dora=True),
    lora("one_layer", "llama", target_modules=["q_proj", "down_proj"], layers_to_transform=[1]),
    ("tokens_alone", "llama", peft.TrainableTokensConfig(
        task_type="CAUSAL_LM", token_indices=[8, 2, 1], target_modules=["embed_tokens"])),
    lora("qwen2_tied_output", "qwen2", target_modules=["lm_head", "k_proj"]),
    lora("gpt2", "gpt2", target_modules=GPT2, fan_in_fan_out=True),
    lora("gpt2_dora", "gpt2", target_modules=GPT2, fan_in_fan_out=True, use_dora=True),
    lora("gpt2_tied_embedding", "gpt2", target_modules=["wte", "c_attn"], fan_in_fan_out=True),
    lora("gpt2_tied_rows", "gpt2", target_modules=["c_fc"], fan_in_fan_out=True,
         trainable_token_indices={"wte": [8, 5, 1]}),
    lora("gpt2_positions", "gpt2", target_modules=["c_attn"], fan_in_fan_out=True, modules_to_save=["wpe", "ln_f"]),
    lora("gpt_neox", "gpt_neox", target_modules=NEOX),
    lora("gpt_neox_saved", "gpt_neox", target_modules=["query_key_value"], use_dora=True, bias="lora_only",
         modules_to_save=["embed_out", "embed_in"]),
    lora("phi3", "phi3", target_modules=PHI3, use_rslora=True),
    lora("phi3_dora", "phi3", target_modules=PHI3, use_dora=True),
    lora("bloom_dora", "bloom", target_modules=NEOX, use_dora=True),
    lora("gemma3", "gemma3", target_modules=ALL),
    lora("gemma3_tied_embedding", "gemma3", target_modules=["embed_tokens", "v_proj"]),
    lora("gemma3_tied_kept", "gemma3", target_modules=["embed_tokens", "v_proj"], ensure_weight_tying=True),
    lora("gemma3_tied_saved", "gemma3", target_modules=["v_proj"], modules_to_save=["embed_tokens"]),
    lora("gemma3_tied_saved_kept", "gemma3", target_modules=["v_proj"], modules_to_save=["embed_tokens"],
         ensure_weight_tying=True),
    lora("gemma3_rows", "gemma3", target_modules=["q_proj"], trainable_token_indices=[30, 8, 1]),
    lora("llama_gguf", "llama_gguf", target_modules=ALL, use_dora=True, modules_to_save=["embed_tokens"]),
    lora("llama_gguf_saved", "llama_gguf", target_modules=["up_proj"], modules_to_save=["q_proj", "k_proj"]),
    lora("gemma2_gguf", "gemma2_gguf", target_modules=ALL, modules_to_save=["input_layernorm"]),
    lora("phi3_gguf", "phi3_gguf", target_modules=PHI3),
    lora("gpt2_gguf", "gpt2_gguf", target_modules=GPT2, fan_in_fan_out=True, use_dora=True),
    lora("gpt_neox_gguf", "gpt_neox_gguf", target_modules=NEOX, use_dora=True, modules_to_save=["embed_out"]),
    lora("bloom_gguf", "bloom_gguf", target_modules=NEOX),
]
WITH_BASE_LAYER = ["embedding", "gpt2_tied_embedding"]


def open_base(config, folder):
    model_class = getattr(transformers, config["architectures"][0])
    return model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def adapter_values(name, shape, model_type, seed):
    if "magnitude" in name:
        scale, offset = 0.4, 1.2
    elif "lora_" in name:
        scale, offset = 0.4, 0.0
    else:
        scale, offset = scale_offset(name, model_type)
    listed = {"shape": shape, "scale": scale, "offset": offset}
    if seed != name:
        listed["same_as"] = seed
    # Other values than the base has under the same name.
    return values(f"adapter:{seed}", shape, scale, offset), listed


def logits(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def run(name, base, settings, folder):
    configs = dict(families.CASES) | dict(make_gguf.CASES)
    config = configs[base]
    base_folder, out = folder / "base", folder / "adapter"
    base_folder.mkdir()
    families.make(base, config, base_folder)
    if base.endswith("_gguf"):
        tensors = {key: numpy.round(value * 16) / numpy.float32(16)
                   for key, value in load_file(base_folder / "model.safetensors").items()}
        save_file(tensors, base_folder / "model.safetensors", metadata={"format": "pt"})
    ids = [(7 * i * i + 3 * i + 1) % VOCAB for i in range(N_POSITIONS)]
    untouched = logits(open_base(config, base_folder), ids)
    peft.get_peft_model(open_base(config, base_folder), settings).save_pretrained(out)
    stored, listed = {}, {}
    for key, value in sorted(load_file(out / "adapter_model.safetensors").items()):
        # PEFT stores what lies below a changed embedding too; some files have it, some not.
        if key.endswith("base_layer.weight") and name not in WITH_BASE_LAYER:
            continue
        # Tensors of a tied output layer are those of the embedding: the same values, or left out.
        seed = key
        if settings.to_dict().get("ensure_weight_tying") and "lm_head" in key:
            if "lora_" in key:
                continue
            seed = key.replace("lm_head", "model.embed_tokens")
        stored[key], listed[key] = adapter_values(key, list(value.shape), config["model_type"], seed)
    save_file(stored, out / "adapter_model.safetensors", metadata={"format": "pt"})
    written = json.loads((out / "adapter_config.json").read_text())
    written["base_model_name_or_path"] = base
    for key, value in written.items():
        if isinstance(value, list) and not key.endswith("token_indices"):
            written[key] = sorted(value)  # PEFT writes sets
    adapted = logits(peft.PeftModel.from_pretrained(open_base(config, base_folder), out), ids)
    assert 0.05 < adapted.std().item() < 50, (name, adapted.std())
    difference = (adapted - untouched).abs().max().item()
    assert difference > 0.02, (name, difference)
    rows = [[float(f"{x:.6g}") for x in row] for row in adapted.tolist()]
    print(name, len(listed), f"{difference:.2f}")
    return {"name": name, "base": base, "config": written, "tensors": listed, "ids": ids, "logits": rows}


def main():
    warnings.simplefilter("ignore")
    cases = []
    for name, base, settings in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(run(name, base, settings, Path(folder)))
    head = {"peft": peft.__version__, "transformers": transformers.__version__,
            "torch": torch.__version__, "cases": cases}
    lines = json.dumps(head, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "adapters.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
