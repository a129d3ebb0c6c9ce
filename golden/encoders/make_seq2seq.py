"""Goldens of encoder-decoders: tiny seeded T5, mT5 and umT5 models, values of transformers.

    python golden/encoders/make_seq2seq.py

Python packages: torch, transformers, safetensors, numpy. Writes `seq2seq.json` beside this file: per
case a `config.json`, the stored tensors (values as in `golden/families/make.py`), pairs of source and
target with the log-probabilities of the whole vocabulary before each target token, and what greedy
decoding writes; and the buckets of distances by transformers' own function.

The pairs of a case go through transformers in one padded batch with attention masks.
"""

import tempfile
from pathlib import Path

import torch
from transformers.models.t5.modeling_t5 import T5Attention

from make_encoders import HERE, VOCAB, case, fill, rounded, text_ids, write

SOURCES, TARGETS = [23, 1, 40, 6], [9, 14, 1, 5]
T5 = {
    "d_model": 24, "d_kv": 5, "d_ff": 36, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3,
    "vocab_size": VOCAB, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    "n_positions": 48, "is_encoder_decoder": True,
}
GATED = {**T5, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 2}

CASES = [
    case("t5", "T5ForConditionalGeneration", "t5", T5),
    case("t5_buckets", "T5ForConditionalGeneration", "t5", T5, relative_attention_num_buckets=8,
         relative_attention_max_distance=20, decoder_start_token_id=3),
    case("t5_v1_1", "T5ForConditionalGeneration", "t5", GATED, tie_word_embeddings=False),
    case("t5_silu", "T5ForConditionalGeneration", "t5", T5, feed_forward_proj="gated-silu",
         layer_norm_epsilon=1e-3),
    case("mt5", "MT5ForConditionalGeneration", "mt5", GATED, tie_word_embeddings=False,
         num_heads=4, d_kv=7),
    case("umt5", "UMT5ForConditionalGeneration", "umt5", GATED),
    case("umt5_untied", "UMT5ForConditionalGeneration", "umt5", GATED, tie_word_embeddings=False),
]


def scale_offset(name):
    if name.endswith("norm.weight"):
        return 0.3, 1.0
    # Scores are not scaled: with larger weights, rounding errors of f32 grow to the tolerance.
    return (1.0 if "relative_attention_bias" in name else 0.4), 0.0


def padded(rows, pad):
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def make(name, config, folder):
    extra = {}
    if config.get("tie_word_embeddings") is False:
        # transformers stores no output layer of its own for these; published files have one.
        extra["lm_head.weight"] = [VOCAB, config["d_model"]]
    model, listed = fill(name, config, folder, scale_offset, extra)
    if config["model_type"] == "umt5":
        # transformers 5.23 takes a umT5 for tied whatever the file says, and scales its states; 4 did not.
        model.config.tie_word_embeddings = config.get("tie_word_embeddings", True)
    sources = [text_ids(i, n, low=2) for i, n in enumerate(SOURCES)]
    targets = [text_ids(i + 7, n, low=2) for i, n in enumerate(TARGETS)]
    (ids, mask), (labels, label_mask) = padded(sources, 0), padded(targets, 0)
    start = config["decoder_start_token_id"]
    inputs = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], 1)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=inputs,
                       decoder_attention_mask=label_mask, use_cache=False).logits
        written = model.generate(input_ids=ids, attention_mask=mask, do_sample=False,
                                 max_new_tokens=24, use_cache=False)
    logprobs = logits.log_softmax(-1)
    spread = logits.std().item()
    assert 0.05 < spread < 20, (name, spread)
    pairs = []
    for i, (source, target) in enumerate(zip(sources, targets)):
        ids = written[i, 1:].tolist()
        if 1 in ids:
            ids = ids[: ids.index(1) + 1]
        pairs.append({"source": source, "target": target, "logprobs": rounded(logprobs[i, : len(target)], 8),
                      "greedy": ids})
    return {"name": name, "config": config, "tensors": listed, "pairs": pairs}


def buckets():
    distances = list(range(-300, 301))
    rows = []
    for is_encoder in (True, False):
        for n_buckets, max_distance in [(32, 128), (8, 20), (6, 50), (64, 256), (4, 3)]:
            found = T5Attention._relative_position_bucket(
                torch.tensor(distances), bidirectional=is_encoder, num_buckets=n_buckets,
                max_distance=max_distance)
            rows.append({"name": "buckets", "is_encoder": is_encoder, "n_buckets": n_buckets,
                         "max_distance": max_distance, "buckets": found.tolist()})
    return rows


def main():
    cases = []
    for name, config in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(make(name, config, Path(folder)))
        print(name, len(cases[-1]["tensors"]), [len(pair["greedy"]) for pair in cases[-1]["pairs"]])
    write(HERE / "seq2seq.json", cases, buckets=buckets())


if __name__ == "__main__":
    main()
