"""Goldens of training: losses and gradients of the models of `make.py`, by PyTorch.

    python golden/families/make_gradients.py

Python packages: those of `make.py`. Writes `gradients.json` beside this file: per case the
log-probability of every token but the first of two sequences, the loss, the norm of the whole gradient,
and for every stored tensor the norm of its gradient and its values at 24 places (place i is
`(i * 2654435761 + 97) % n`). The loss is -sum(w * log p), w = ((5 p + 3 s) % 7 - 1) / 20 for the
token at position p of sequence s: some weigh nothing, some less than nothing.
`steps` are losses and gradient norms of five AdamW steps on all tensors of the case `llama`.
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.numpy import save_file

from make import CASES, HERE, VOCAB, values

LENGTHS = (20, 13)
SEQUENCES = [[(7 * i * i + 3 * i + 1 + 5 * s) % VOCAB for i in range(n)] for s, n in enumerate(LENGTHS)]
N_PLACES = 24


def load(case, folder):
    (folder / "config.json").write_text(json.dumps(case["config"]))
    tensors = {name: values(name, t["shape"], t["scale"], t["offset"]) for name, t in case["tensors"].items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model_class = getattr(transformers, case["config"]["architectures"][0])
    return model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def backward(model):
    loss, logprobs = 0.0, []
    for s, ids in enumerate(SEQUENCES):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        found = logits[:-1].double().log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        weights = torch.tensor([((5 * p + 3 * s) % 7 - 1) / 20 for p in range(1, len(ids))], dtype=torch.float64)
        loss = loss - (weights * found).sum()
        logprobs.append(found.tolist())
    loss.backward()
    return loss.item(), logprobs


def norm(parameters):
    return torch.sqrt(sum((p.grad.double() ** 2).sum() for p in parameters)).item()


def short(x):
    return float(f"{x:.7g}")


def gradients(case):
    with tempfile.TemporaryDirectory() as folder:
        model = load(case, Path(folder))
    loss, logprobs = backward(model)
    parameters = dict(model.named_parameters())
    tensors = {}
    for name in case["tensors"]:
        # GPT-NeoX has another name in memory than in files.
        in_memory = name if name in parameters else name.replace("embed_out", "lm_head")
        gradient = parameters[in_memory].grad.double().flatten()
        places = [(i * 2654435761 + 97) % len(gradient) for i in range(N_PLACES)]
        tensors[name] = {
            "norm": short(gradient.norm().item()),
            "values": [short(x) for x in gradient[places].tolist()],
        }
    return {
        "name": case["name"], "loss": short(loss), "norm": short(norm(parameters.values())),
        "logprobs": [[short(x) for x in row] for row in logprobs], "tensors": tensors,
    }


def steps(case):
    with tempfile.TemporaryDirectory() as folder:
        model = load(case, Path(folder))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    found = []
    for _ in range(5):
        optimizer.zero_grad()
        loss, _ = backward(model)
        found.append({"loss": short(loss), "norm": short(norm(list(model.parameters())))})
        optimizer.step()
    return found


def main():
    torch.set_num_threads(1)
    stored = json.loads((HERE / "families.json").read_text())["cases"]
    assert [case["name"] for case in stored] == [name for name, _ in CASES]
    head = {
        "transformers": transformers.__version__, "torch": torch.__version__,
        "sequences": SEQUENCES, "steps": steps(stored[0]), "cases": [gradients(case) for case in stored],
    }
    lines = json.dumps(head, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "gradients.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
