"""Golden of training: one step of AdamW on a real model, by PyTorch.

    python golden/engine/make_step.py --smollm2 A.gguf

Python packages: torch, transformers, gguf. The weights are de-quantized to f32 and laid out as in `make.py`;
the four texts are the token ids of `smollm2-135m.json` (sentences of the Universal Declaration of Human
Rights in fifteen languages, one after the other), 33 tokens each, so that 32 of each are scored.
Writes `smollm2-135m-step.json`: the loss (mean of -log p over all scored tokens, in nats), the norm of the
gradient over all tensors and of each kind of tensor in three blocks, values of some tensors' gradients at
16 places (place i is `(i * 2654435761 + 97) % n`), and the loss on the same texts after the step.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers

from make import HERE, load

N_SEQUENCES, N_TOKENS, N_PLACES = 4, 32, 16
BLOCKS = (0, 14, 29)
ADAMW = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}


def short(x):
    return float(f"{x:.9g}")


def loss_of(model, ids):
    logits = model(ids[:, :-1], use_cache=False).logits
    return -logits.double().log_softmax(-1).gather(-1, ids[:, 1:, None]).mean()


def make(path: Path):
    model, _ = load(path)
    texts = json.loads((HERE / "smollm2-135m.json").read_text(encoding="utf-8"))["texts"]
    stream = [i for text in texts for i in text["ids"]]
    n = N_TOKENS + 1
    ids = torch.tensor([stream[4 * n * i : 4 * n * i + n] for i in range(N_SEQUENCES)])
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    loss = loss_of(model, ids)
    loss.backward()
    norms, values, squares = {}, {}, 0.0
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.double().flatten()
        squares += (gradient**2).sum().item()
        if "layers." not in name or int(name.split(".")[2]) in BLOCKS:
            norms[name] = short(gradient.norm().item())
            values[name] = [short(gradient[(i * 2654435761 + 97) % len(gradient)].item()) for i in range(N_PLACES)]
    optimizer.step()
    with torch.no_grad():
        after = loss_of(model, ids).item()
    golden = {
        "header": {
            "command": "python golden/engine/make_step.py --smollm2 A.gguf", "model": path.name,
            "torch": torch.__version__, "transformers": transformers.__version__,
            "arithmetic": "f32 forward and backward, sdpa attention, log-softmax in f64", "adamw": ADAMW,
        },
        "ids": ids.tolist(), "loss": short(loss.item()), "norm": short(squares**0.5), "loss_after": short(after),
        "norms": norms, "values": values,
    }
    body = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in golden.items())
    target = HERE / "smollm2-135m-step.json"
    target.write_text("{\n" + body + "\n}\n", encoding="utf-8")
    print(target.name, target.stat().st_size, "bytes;", loss.item(), squares**0.5, after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smollm2", type=Path, required=True)
    make(parser.parse_args().smollm2)


if __name__ == "__main__":
    main()
