"""Goldens of gradients by the input embeddings, and of low-rank adapters' gradients, by PyTorch and PEFT.

    python golden/families/make_inputs.py

Python packages: those of `make_adapters.py`. Writes `inputs.json` beside this file. Loss and sequences
are those of `make_gradients.py`.
`inputs`: per case of `make.py` and sequence, for every token before the last the gradient by its row of
the embedding table (before a scale, positions, a norm): its norm and 4 values (place i is
`(i * 2654435761 + 97) % n`).
`lora`: per case PEFT's model with adapters on all projections (rank 4, alpha 6; values of the name
`adapter:NAME` as in `make_adapters.py`): loss, norm of the whole gradient, and per tensor its norm and
values at 24 places, under the names that PEFT stores.
"""

import json
import tempfile
from pathlib import Path

import peft
import torch

from make import CASES, HERE
from make_adapters import ALL, adapter_values
from make_gradients import N_PLACES, SEQUENCES, backward, load, norm, short

from make import VOCAB, values  # noqa: F401  (the values of the models)

LORA_CASES = ["llama", "gemma3", "qwen2", "cohere"]


def places(gradient, n_places):
    return [short(gradient[(i * 2654435761 + 97) % len(gradient)].item()) for i in range(n_places)]


def opened(case):
    with tempfile.TemporaryDirectory() as folder:
        return load(case, Path(folder))


def inputs(case):
    model, seen = opened(case), []
    table = model.get_input_embeddings()

    def keep(module, _, output):
        output.retain_grad()
        seen.append(output)

    table.register_forward_hook(keep)
    backward(model)
    # Gemma's module multiplies what it reads from the table.
    scale = float(getattr(table, "embed_scale", 1.0))
    sequences = []
    for ids, output in zip(SEQUENCES, seen, strict=True):
        gradient = output.grad[0].double() * scale
        assert len(gradient) == len(ids) and gradient[-1].norm() == 0  # nothing comes after the last
        sequences.append([{"norm": short(row.norm().item()), "values": places(row, 4)} for row in gradient[:-1]])
    return {"name": case["name"], "sequences": sequences}


def lora(case):
    settings = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=ALL)
    model = peft.get_peft_model(opened(case), settings)
    parameters = {}
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            assert not parameter.requires_grad
            continue
        stored = name.replace(".default", "")
        value, _ = adapter_values(stored, list(parameter.shape), case["config"]["model_type"], stored)
        parameter.data = torch.from_numpy(value)
        parameters[stored] = parameter
    loss, _ = backward(model.eval())
    tensors = {name: {"norm": short(parameter.grad.double().norm().item()),
                      "values": places(parameter.grad.double().flatten(), N_PLACES)}
               for name, parameter in sorted(parameters.items())}
    return {"name": case["name"], "loss": short(loss), "norm": short(norm(parameters.values())), "tensors": tensors}


def main():
    cases = json.loads((HERE / "families.json").read_text())["cases"]
    assert len(cases) == len(CASES)
    golden = {
        "peft": peft.__version__, "torch": torch.__version__,
        "inputs": [inputs(case) for case in cases],
        "lora": [lora(case) for case in cases if case["name"] in LORA_CASES],
    }
    lines = json.dumps(golden, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (HERE / "inputs.json").write_text(lines + "\n")
    print(len(lines), "bytes;", [(case["name"], case["loss"], case["norm"]) for case in golden["lora"]])


if __name__ == "__main__":
    main()
