"""Goldens of heads on decoders: tiny seeded classifiers and reward models, logits of transformers.

    python golden/encoders/make_heads.py

Python packages: torch, transformers, safetensors, numpy. Writes `heads.json` beside this file: per case
a `config.json`, the stored tensors (values as in `golden/families/make.py`), texts in token ids and
their logits. The texts go through transformers in one padded batch with an attention mask.
"""

import tempfile
from pathlib import Path

import torch

from make_encoders import HERE, ONE, THREE, batch, families, fill, rounded, texts_of, write

DECODERS = dict(families.CASES)


def case(name, base, architecture, labels, **changes):
    config = {**DECODERS[base], "architectures": [architecture], "pad_token_id": 0, **labels, **changes}
    return name, config


CASES = [
    case("llama_reward", "llama", "LlamaForSequenceClassification", ONE),
    case("llama_classes", "llama_biases", "LlamaForSequenceClassification", THREE),
    case("mistral_classes", "mistral_window", "MistralForSequenceClassification", THREE,
         problem_type="multi_label_classification"),
    case("qwen2_reward", "qwen2", "Qwen2ForSequenceClassification", ONE),
    case("qwen3_classes", "qwen3", "Qwen3ForSequenceClassification", THREE),
    case("gemma2_reward", "gemma2", "Gemma2ForSequenceClassification", ONE),
    case("gemma3_classes", "gemma3", "Gemma3TextForSequenceClassification", THREE),
    case("phi3_classes", "phi3", "Phi3ForSequenceClassification", THREE),
    case("olmo2_reward", "olmo2", "Olmo2ForSequenceClassification", ONE),
    case("gpt2_classes", "gpt2", "GPT2ForSequenceClassification", THREE),
    case("gpt_neox_reward", "gpt_neox", "GPTNeoXForSequenceClassification", ONE),
    case("bloom_classes", "bloom", "BloomForSequenceClassification", THREE),
]


def make(name, config, folder):
    rule = lambda tensor: families.scale_offset(tensor, config["model_type"])
    model, listed = fill(name, config, folder, rule)
    texts = texts_of(config)
    # What ends in padding tokens of its own, as texts of models do whose padding is their end token.
    texts.append({"ids": [7, 8, 0, 9, 0, 0]})
    with torch.no_grad():
        logits = model(**batch(texts, 0), use_cache=False).logits
    spread = logits.std().item()
    assert 0.05 < spread < 20, (name, spread)
    for text, row in zip(texts, rounded(logits)):
        text["logits"] = row
    return {"name": name, "config": config, "tensors": listed, "texts": texts}


def main():
    cases = []
    for name, config in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(make(name, config, Path(folder)))
        print(name, len(cases[-1]["tensors"]))
    write(HERE / "heads.json", cases)


if __name__ == "__main__":
    main()
