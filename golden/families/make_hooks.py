"""Goldens of hooks: what PyTorch's forward hooks read and change in the models of `make.py`.

    python golden/families/make_hooks.py

Python packages: those of `make.py`. Writes `hooks.json` beside this file: per case token ids,
`read`: for every block and point the values at two positions (the place of point MlpActivation is the
input of the last projection), `lens`: logits of the final norm and the output layer on the residual
stream after block 0 at two positions, `edits`: changes, and with each the log-probabilities of every token
but the first. What is added is v_j = ((7 j) % 11 - 5) / 10.
"""

import json
import tempfile
from pathlib import Path

import torch

from make import HERE, VOCAB
from make_gradients import load, short

N_TOKENS, POSITIONS = 14, (3, 13)
CASES = ["llama", "gemma2", "gpt_neox", "cohere", "gpt2", "olmo2"]
POINTS = ["BlockInput", "AttentionOutput", "MlpActivation", "MlpOutput", "BlockOutput"]
# Point, block, first position and position behind the last, what is done.
EDITS = [
    ("AttentionOutput", 0, 5, 14, "zero"), ("BlockOutput", 0, 3, 4, "add"), ("MlpActivation", 1, 0, 14, "scale"),
    ("BlockInput", 1, 7, 9, "add"), ("MlpOutput", 1, 2, 14, "zero"), ("BlockInput", 0, 0, 2, "scale"),
    ("AttentionOutput", 1, 4, 6, "replace"),
]


def parts(model):
    """Blocks with their attention, feed-forward layer and its last projection; final norm."""
    body = model.base_model
    blocks = getattr(body, "layers", None) or body.h
    final = getattr(body, "norm", None) or getattr(body, "final_layer_norm", None) or body.ln_f
    found = []
    for block in blocks:
        attention = getattr(block, "self_attn", None) or getattr(block, "attention", None) or block.attn
        mlp = block.mlp
        down = getattr(mlp, "down_proj", None) or getattr(mlp, "dense_4h_to_h", None) or mlp.c_proj
        found.append((block, attention, mlp, down))
    return found, final


def first(x):
    return x[0] if isinstance(x, tuple) else x


def with_first(x, value):
    return (value, *x[1:]) if isinstance(x, tuple) else value


def hook(part, point, change):
    """`change(values [n, width])` gives what the model goes on with."""
    block, attention, mlp, down = part

    def before(_, args, kwargs):
        if args:
            return (change(args[0][0])[None], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"][0])[None]}

    def after(_module, _args, output):
        return with_first(output, change(first(output)[0])[None])

    if point in ("BlockInput", "MlpActivation"):
        module = block if point == "BlockInput" else down
        return module.register_forward_pre_hook(before, with_kwargs=True)
    module = {"AttentionOutput": attention, "MlpOutput": mlp, "BlockOutput": block}[point]
    return module.register_forward_hook(after)


def done(kind, start, end, values):
    values = values.clone()
    j = torch.arange(values.shape[1])
    v = ((7 * j) % 11 - 5) / 10
    if kind == "zero":
        values[start:end] = 0
    elif kind == "add":
        values[start:end] += v
    elif kind == "scale":
        values[start:end] *= -0.5
    else:
        values[start:end] = v
    return values


@torch.no_grad()
def case_of(case):
    with tempfile.TemporaryDirectory() as folder:
        model = load(case, Path(folder))
    ids = [(5 * i * i + 3 * i + 7) % VOCAB for i in range(N_TOKENS)]

    def logprobs():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
        found = logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        return [short(x) for x in found.tolist()]

    blocks, final = parts(model)
    read, hooks = {}, []
    for layer, part in enumerate(blocks):
        for point in POINTS:
            def keep(values, key=f"{layer} {point}"):
                read[key] = values.clone()
                return values
            hooks.append(hook(part, point, keep))
    plain = logprobs()
    for handle in hooks:
        handle.remove()
    assert len(read) == len(blocks) * len(POINTS)
    lens = model.lm_head if hasattr(model, "lm_head") else model.get_output_embeddings()
    logits = lens(final(read["0 BlockOutput"][list(POSITIONS)]))
    logits = logits * getattr(model.config, "logit_scale", None) if hasattr(model.config, "logit_scale") else logits
    if getattr(model.config, "final_logit_softcapping", None):
        cap = model.config.final_logit_softcapping
        logits = cap * torch.tanh(logits / cap)
    edits = []
    for point, layer, start, end, kind in EDITS:
        handle = hook(blocks[layer], point, lambda values, kind=kind, s=start, e=end: done(kind, s, e, values))
        changed = logprobs()
        handle.remove()
        assert max(abs(a - b) for a, b in zip(plain, changed)) > 1e-3, (case["name"], point, kind)
        edits.append({"point": point, "layer": layer, "start": start, "end": end, "kind": kind, "logprobs": changed})
    return {
        "name": case["name"], "ids": ids, "logprobs": plain,
        "read": {key: [[short(x) for x in values[p].tolist()] for p in POSITIONS] for key, values in read.items()},
        "lens": [[short(x) for x in row] for row in logits.tolist()], "edits": edits,
    }


def main():
    cases = json.loads((HERE / "families.json").read_text())["cases"]
    golden = {"positions": POSITIONS, "cases": [case_of(case) for case in cases if case["name"] in CASES]}
    assert len(golden["cases"]) == len(CASES)
    lines = json.dumps(golden, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "hooks.json").write_text(lines + "\n")
    print(len(lines), "bytes")


if __name__ == "__main__":
    main()
