"""Goldens of sentence vectors: hidden states of transformers through the modules of
sentence-transformers.

    python golden/encoders/make_sentences.py

Python packages: torch, transformers, sentence-transformers, safetensors, numpy. Writes
`sentences.json` beside this file: per case the model (`config.json`, stored tensors), the other files of
a sentence-transformers folder as that library writes them, its own tensors, texts in token ids and
their vectors. The texts go through in one padded batch with an attention mask.
"""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

import make_encoders
import make_seq2seq
from make_encoders import HERE, batch, case, families, fill, texts_of, write

PACKAGE = "sentence_transformers.models"
ENCODERS = dict(make_encoders.CASES)
DECODERS = dict(families.CASES)
T5_ENCODER = case("t5_encoder", "T5EncoderModel", "t5", make_seq2seq.GATED)[1]
UMT5_ENCODER = case("umt5_encoder", "UMT5EncoderModel", "umt5", make_seq2seq.GATED)[1]


def pooling(mode):
    return "1_Pooling", "Pooling", lambda d: Pooling(d, pooling_mode=mode)


def dense(n_in, n_out, activation, bias=True):
    return "2_Dense", "Dense", lambda d: Dense(n_in, n_out, bias=bias, activation_function=activation)


UNIT = ("3_Normalize", "Normalize", lambda d: Normalize())
CASES = [
    ("bert_mean", ENCODERS["bert"], [pooling("mean"), UNIT]),
    ("bert_max", ENCODERS["bert_masked"], [pooling("max")]),
    ("xlm_roberta_first", ENCODERS["xlm_roberta"], [pooling("cls"), UNIT]),
    ("xlm_roberta_dense", ENCODERS["xlm_roberta"], [pooling("mean"), dense(24, 10, torch.nn.Tanh()), UNIT]),
    ("distilbert_mean", ENCODERS["distilbert"], [pooling("mean"), dense(24, 33, torch.nn.Identity(), False)]),
    ("t5_mean", T5_ENCODER, [pooling("mean"), dense(24, 16, torch.nn.Identity(), False), UNIT]),
    ("umt5_last", UMT5_ENCODER, [pooling("lasttoken"), UNIT]),
    ("qwen3_last", DECODERS["qwen3"], [pooling("lasttoken"), UNIT]),
    ("llama_mean", DECODERS["llama"], [pooling("mean"), UNIT]),
]
# Older folders spell the pooling mode as one switch for each.
OLD_SPELLING = ["xlm_roberta_first", "t5_mean", "qwen3_last"]


def scale_offset(config):
    if config["model_type"] in ("t5", "umt5"):
        return make_seq2seq.scale_offset
    if "hidden_size" in config and "intermediate_size" in config and "type_vocab_size" not in config:
        return lambda name: families.scale_offset(name, config["model_type"])
    return make_encoders.scale_offset


def old(settings):
    names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}
    mode = settings.pop("pooling_mode")
    settings |= {f"pooling_mode_{spelled}": name == mode for name, spelled in names.items()}
    settings["word_embedding_dimension"] = settings.pop("embedding_dimension")


def make(name, config, steps, folder):
    model, listed = fill(name, config, folder, scale_offset(config))
    texts = texts_of(config)
    files = {"modules.json": [{"idx": 0, "name": "0", "path": "", "type": f"{PACKAGE}.Transformer"}],
             "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": False}}
    inputs = batch(texts, config.get("pad_token_id", 0))
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states[-1]
    d_model = states.shape[-1]
    features = {"token_embeddings": states, "attention_mask": inputs["attention_mask"]}
    own = {}
    for i, (path, kind, build) in enumerate(steps):
        module = build(d_model)
        (folder / path).mkdir()
        module.save(str(folder / path))
        weights = folder / path / "model.safetensors"
        if weights.is_file():
            own[path] = {}
            tensors = {}
            for tensor, stored in sorted(load_file(weights).items()):
                shape = list(stored.shape)
                tensors[tensor] = torch.tensor(families.values(tensor, shape, 0.3, 0.0))
                own[path][tensor] = {"shape": shape, "scale": 0.3, "offset": 0.0}
            save_file(tensors, weights)
            module.load_state_dict(tensors)
        if (folder / path / "config.json").is_file():
            settings = json.loads((folder / path / "config.json").read_text())
            if kind == "Pooling" and name in OLD_SPELLING:
                old(settings)
            files[f"{path}/config.json"] = settings
        files["modules.json"].append(
            {"idx": i + 1, "name": str(i + 1), "path": path, "type": f"{PACKAGE}.{kind}"})
        with torch.no_grad():
            features = module(features)
    for text, vector in zip(texts, features["sentence_embedding"].tolist()):
        text["vector"] = [float(f"{x:.7g}") for x in vector]
    return {"name": name, "config": config, "tensors": listed, "files": files, "own": own, "texts": texts}


def main():
    cases = []
    for name, config, steps in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(make(name, config, steps, Path(folder)))
        print(name, len(cases[-1]["tensors"]), cases[-1]["files"])
    write(HERE / "sentences.json", cases)


if __name__ == "__main__":
    main()
