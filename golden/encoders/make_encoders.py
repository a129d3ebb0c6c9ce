"""Goldens of encoders and of heads: tiny seeded models, values of transformers.

    python golden/encoders/make_encoders.py

Python packages: torch, transformers, safetensors, numpy. Writes `encoders.json` beside this file: per
case a `config.json`, the stored tensors (values as in `golden/families/make.py`), the texts in token
ids and what the model gives for each (f32, eager attention).

The texts of a case have different lengths and go through transformers in one padded batch with an
attention mask; what stands at the padding is left out.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "families"))
import make as families  # noqa: E402

VOCAB = 40
LENGTHS = [11, 1, 17, 6]
BERT = {
    "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": VOCAB, "max_position_embeddings": 26, "type_vocab_size": 2, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12, "pad_token_id": 0,
}
ROBERTA = {**BERT, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0,
           "eos_token_id": 2}
DISTIL = {
    "dim": 24, "hidden_dim": 36, "n_layers": 2, "n_heads": 3, "vocab_size": VOCAB,
    "max_position_embeddings": 26, "activation": "gelu", "pad_token_id": 0,
}
THREE = {"id2label": {"0": "contradiction", "1": "neutral", "2": "entailment"},
         "label2id": {"contradiction": 0, "neutral": 1, "entailment": 2}}
ONE = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}


def case(name, architecture, model_type, base, **changes):
    return name, {"architectures": [architecture], "model_type": model_type, **base, **changes}


CASES = [
    case("bert", "BertModel", "bert", BERT),
    case("bert_masked", "BertForMaskedLM", "bert", BERT, hidden_act="gelu_new"),
    case("bert_untied", "BertForMaskedLM", "bert", BERT, tie_word_embeddings=False),
    case("bert_pretraining", "BertForPreTraining", "bert", BERT, hidden_act="relu"),
    case("bert_classes", "BertForSequenceClassification", "bert", BERT, **THREE),
    case("bert_tokens", "BertForTokenClassification", "bert", BERT, **THREE),
    case("roberta_masked", "RobertaForMaskedLM", "roberta", ROBERTA),
    case("xlm_roberta", "XLMRobertaModel", "xlm-roberta", ROBERTA),
    case("xlm_roberta_masked", "XLMRobertaForMaskedLM", "xlm-roberta", ROBERTA),
    case("xlm_roberta_classes", "XLMRobertaForSequenceClassification", "xlm-roberta", ROBERTA, **THREE),
    case("xlm_roberta_value", "XLMRobertaForSequenceClassification", "xlm-roberta", ROBERTA, **ONE),
    case("camembert_tokens", "CamembertForTokenClassification", "camembert", ROBERTA, **THREE),
    case("distilbert", "DistilBertModel", "distilbert", DISTIL),
    case("distilbert_masked", "DistilBertForMaskedLM", "distilbert", DISTIL),
    case("distilbert_classes", "DistilBertForSequenceClassification", "distilbert", DISTIL, **THREE),
]


def scale_offset(name):
    is_norm = "norm" in name.lower()
    if is_norm and name.endswith("weight"):
        return 0.3, 1.0
    return (0.2 if name.endswith("bias") else 0.4), 0.0


def rounded(rows, digits=6):
    return [[float(f"{x:.{digits}g}") for x in row] for row in rows.tolist()]


def fill(name, config, folder, scale_offset=scale_offset, extra=None):
    """A folder with the model, its values from the formula; what a file stores, as it stores it.
    `extra`: shapes of tensors that transformers would not store, but published files do."""
    (folder / "config.json").write_text(json.dumps(config))
    loaded = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config["architectures"][0])
    model_class(loaded).save_pretrained(folder / "empty")
    tensors, listed = {}, {}
    with safe_open(folder / "empty" / "model.safetensors", "np") as stored:
        shapes = {tensor: list(stored.get_slice(tensor).get_shape()) for tensor in stored.keys()}
    for tensor, shape in sorted((shapes | (extra or {})).items()):
        scale, offset = scale_offset(tensor)
        tensors[tensor] = families.values(tensor, shape, scale, offset)
        listed[tensor] = {"shape": shape, "scale": scale, "offset": offset}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model, info = model_class.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], (name, info)
    return model.eval(), listed


def text_ids(i, length, low=3):
    """Ids from `low` on: none is a padding token."""
    return [low + (7 * j * j + 3 * j + 5 * i + 1) % (VOCAB - low) for j in range(length)]


def texts_of(config):
    texts = []
    for i, length in enumerate(LENGTHS):
        text = {"ids": text_ids(i, length)}
        if config.get("type_vocab_size", 1) > 1 and i % 2 == 0:
            text["types"] = [int(j >= length // 2) for j in range(length)]
        texts.append(text)
    return texts


def batch(texts, pad):
    width = max(len(text["ids"]) for text in texts)
    row = lambda values, fill: values + [fill] * (width - len(values))
    inputs = {
        "input_ids": torch.tensor([row(text["ids"], pad) for text in texts]),
        "attention_mask": torch.tensor([row([1] * len(text["ids"]), 0) for text in texts]),
    }
    if any("types" in text for text in texts):
        types = [row(text.get("types", [0] * len(text["ids"])), 0) for text in texts]
        inputs["token_type_ids"] = torch.tensor(types)
    return inputs


def make(name, config, folder):
    model, listed = fill(name, config, folder)
    texts = texts_of(config)
    with torch.no_grad():
        out = model(**batch(texts, config["pad_token_id"]), output_hidden_states=True)
    states = out.hidden_states[-1]
    logits = out.get("logits", out.get("prediction_logits"))
    for i, text in enumerate(texts):
        n = len(text["ids"])
        if logits is None:
            text["states"] = rounded(states[i, :n])
        elif logits.dim() == 2:
            text["logits"] = rounded(logits[i : i + 1])
        else:
            text["logits"] = rounded(logits[i, :n])
    spread = (states if logits is None else logits).std().item()
    assert 0.05 < spread < 20, (name, spread)
    return {"name": name, "config": config, "tensors": listed, "texts": texts}


def write(path, cases, **more):
    head = {"transformers": transformers.__version__, "torch": torch.__version__, **more, "cases": cases}
    lines = json.dumps(head, separators=(",", ":")).replace('{"name"', '\n{"name"')
    path.write_text(lines + "\n")


def main():
    cases = []
    for name, config in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(make(name, config, Path(folder)))
        print(name, len(cases[-1]["tensors"]))
    write(HERE / "encoders.json", cases)


if __name__ == "__main__":
    main()
