"""Side by side with PyTorch: what a forward and a backward pass cost, all weights trained.

    python bench/train.py --model A.gguf --rust target/release/examples/bench_train

4 sequences of 256 tokens (and the token after the last), every token scored, loss = mean of -log p, the
gradient of every weight; no optimizer step. Sides, each a process of its own, run in turn so often as
`--repeats` says: PyTorch in f32, PyTorch under bf16 autocast (weights f32), ours in f32 and with products
in bf16, each with all activations kept (`all`) and with the blocks' inputs kept (`inputs`). Each process does a step that does not count
and three that do. Prints one JSON: medians and ranges of tokens per second over all counted steps, most
memory of each process (peak RSS), losses and gradient norms, ratios ours / PyTorch (above 1: ours is
faster), ours as a share of the f32 peak that the kernels reach in the first cache; and fails where a loss
is not the f32 peer's within 1e-4 (bf16: 2e-2).
"""

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Fresh mappings for every large buffer cost the peer a third of its speed: tune malloc, once.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "2147483647", "MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_ARENA_MAX": "1"}
N_SEQUENCES, N_TOKENS, N_STEPS = 4, 256, 3


def prepare(golden):
    """Sentences of the declaration in the model's own tokens, the same for both sides."""
    file = Path(__file__).parent.parent / "golden/engine" / f"{golden}.json"
    golden = json.loads(file.read_text(encoding="utf-8"))
    stream = [i for text in golden["texts"] for i in text["ids"]]
    assert len(stream) >= 900, len(stream)
    n = N_TOKENS + 1
    return [[stream[(s * 200 + i) % len(stream)] for i in range(n)] for s in range(N_SEQUENCES)]


def peer(model, kind, threads, file):
    """One process: seconds of each counted step, loss, norm of the gradient, peak memory."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    path = Path(model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ids = torch.tensor(json.loads(Path(file).read_text()))
    seconds = []
    for _ in range(N_STEPS + 1):
        model.zero_grad()
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
            logits = model(ids[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        seconds.append(time.perf_counter() - start)
    norm = sum((p.grad.double() ** 2).sum().item() for p in model.parameters()) ** 0.5
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"seconds": seconds[1:], "loss": loss.item(), "norm": norm, "peak_kb": peak,
                      "loaded_kb": loaded, "versions": versions}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--golden", default="smollm2-135m", help="whose ids: a file name of golden/engine")
    parser.add_argument("--rust", help="command of our side; without it the peer alone is measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", choices=["f32", "bf16"], help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments.model, arguments.peer, arguments.threads, arguments.ids)
    model, threads = str(arguments.model), str(arguments.threads)
    results = {}
    ours = [(p, k) for p in ("f32", "bf16") for k in ("all", "inputs")] if arguments.rust else []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(prepare(arguments.golden), file)
        file.flush()
        sides = {f"torch {kind}": [sys.executable, __file__, "--peer", kind] for kind in ("f32", "bf16")}
        sides |= {f"ours {precision} {keep}": [*shlex.split(arguments.rust), "--precision", precision, "--keep", keep]
                  for precision, keep in ours}
        for repeat in range(arguments.repeats):
            for name, command in sides.items():
                command = [*command, "--model", model, "--threads", threads, "--ids", file.name]
                answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                                        env={**os.environ, **TUNED})
                results.setdefault(name, []).append(json.loads(answer.stdout.strip().splitlines()[-1]))
            print(f"repeat {repeat + 1} of {arguments.repeats}", file=sys.stderr)

    n = N_SEQUENCES * N_TOKENS
    rates = {name: [n / s for run in runs for s in run["seconds"]] for name, runs in results.items()}
    median = {name: statistics.median(found) for name, found in rates.items()}
    peak = {name: max(run["peak_kb"] for run in runs) / 1e6 for name, runs in results.items()}
    losses = {name: runs[-1]["loss"] for name, runs in results.items()}
    report = {
        "model": arguments.model.name, "threads": arguments.threads, "repeats": arguments.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": results["torch f32"][0]["versions"],
        "tokens_per_second": {name: round(rate, 1) for name, rate in median.items()},
        "range": {name: [round(min(found), 1), round(max(found), 1)] for name, found in rates.items()},
        "peak_gb": {name: round(gb, 2) for name, gb in peak.items()},
        "loss": losses,
        "norm": {name: runs[-1]["norm"] for name, runs in results.items()},
    }
    for name in (f"ours {precision} {keep}" for precision, keep in ours):
        report[name] = {
            "speed, of f32": round(median[name] / median["torch f32"], 2),
            "speed, of bf16 autocast": round(median[name] / median["torch bf16"], 2),
            "memory, of f32": round(peak[name] / peak["torch f32"], 2),
            "memory, of bf16 autocast": round(peak[name] / peak["torch bf16"], 2),
            "share of the f32 peak": round(statistics.median(r["peak_share"] for r in results[name]), 2),
        }
    print(json.dumps(report, indent=1))
    tolerance = {name: 2e-2 if "bf16" in name else 1e-4 for name in losses}
    if any(abs(loss - losses["torch f32"]) > tolerance[name] for name, loss in losses.items()):
        sys.exit("the sides disagree: these times compare different work")


main()
