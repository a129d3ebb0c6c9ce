"""Side by side with transformers: what scoring costs on the same texts, ids and cores.

    python bench/score.py --model A.gguf --rust "cargo run -q --release -p isogloss-model --example bench --"

Both sides in f32 and in bfloat16, ours also in the integers that the file stores (int8). Two jobs,
repeated in turn (peer, ours, peer, ours, ...), median of the repeats:
  score     8 sequences of 256 tokens, log-probability of every token
  continue  15 continuations (16 tokens each) of one shared context of 256 tokens
The peer does `continue` twice: naive (each context and continuation whole, in one batch, as users
of transformers write it) and cached (the context once into `past_key_values`, then a batch of
continuations). Prints one JSON with seconds, tokens per second, and ratios peer / ours (above 1:
ours is faster) against the peer's faster dtype, and checks that both sides give the same
log-probabilities in f32 (2e-3 a token); how far the others are from the peer's f32 is printed.

The Rust side gets `--model A.gguf --job score|continue --threads N --compute C --ids FILE` and prints
one JSON line {"seconds": s, "logprobs": [[...], ...]} where seconds covers the job alone, not loading.
"""

import argparse
import itertools
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Fresh mappings for every large buffer cost the peer a third of its speed: tune malloc, once.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "2147483647", "MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_ARENA_MAX": "1"}

N_SEQUENCES, N_TOKENS, N_CONTINUATIONS, N_NEW = 8, 256, 15, 16


def prepare(golden):
    """Exact ids, the same for both sides: sentences of the declaration in the model's own tokens."""
    file = Path(__file__).parent.parent / "golden/engine" / f"{golden}.json"
    golden = json.loads(file.read_text(encoding="utf-8"))
    bos = golden["header"]["bos"]
    # Fifteen languages in turn, again from the start where they do not suffice.
    stream = itertools.cycle([i for text in golden["texts"] for i in text["ids"][len(bos):]])

    def piece(n_tokens):
        return list(itertools.islice(stream, n_tokens))

    return {
        "score": [bos + piece(N_TOKENS - len(bos)) for _ in range(N_SEQUENCES)],
        "context": bos + piece(N_TOKENS - len(bos)),
        "continuations": [piece(N_NEW) for _ in range(N_CONTINUATIONS)],
    }


class Peer:
    def __init__(self, path, threads, dtype):
        import torch
        import transformers

        self.torch, self.versions = torch, {"torch": torch.__version__, "transformers": transformers.__version__}
        torch.set_num_threads(threads)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        ).eval()

    def picked(self, logits, ids):
        """log p of ids[:, t] from logits[:, t]."""
        return self.torch.log_softmax(logits.float(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)

    def score(self, ids):
        ids = self.torch.tensor(ids["score"])
        return self.picked(self.model(ids, use_cache=False).logits[:, :-1], ids[:, 1:]).tolist()

    def naive(self, ids):
        rows = self.torch.tensor([ids["context"] + new for new in ids["continuations"]])
        logits = self.model(rows, use_cache=False).logits[:, -N_NEW - 1 : -1]
        return self.picked(logits, rows[:, -N_NEW:]).tolist()

    def cached(self, ids):
        torch = self.torch
        new = torch.tensor(ids["continuations"])
        first = self.model(torch.tensor([ids["context"]]), use_cache=True, logits_to_keep=1)
        cache = first.past_key_values
        cache.batch_repeat_interleave(len(new))
        logits = self.model(new, past_key_values=cache, use_cache=True).logits
        logits = torch.cat([first.logits.expand(len(new), -1, -1), logits[:, :-1]], 1)
        return self.picked(logits, new).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--golden", default="smollm2-135m", help="whose ids: a file name of golden/engine")
    parser.add_argument("--rust", help="command of our side; without it the peer alone is measured")
    parser.add_argument("--compute", default="f32,bf16,int8", help="ways of computing of our side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in TUNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TUNED})
    ids = prepare(arguments.golden)
    dtypes = {"f32": "float32", "bf16": "bfloat16"}
    peers = {name: Peer(arguments.model, arguments.threads, dtype) for name, dtype in dtypes.items()}
    n_tokens = {"score": N_SEQUENCES * N_TOKENS, "continue": N_TOKENS + N_CONTINUATIONS * N_NEW}
    seconds, values = {}, {}

    def record(name, elapsed, logprobs):
        seconds.setdefault(name, []).append(elapsed)
        values[name] = logprobs

    def peer_run(name, peer, job):
        start = time.perf_counter()
        with peer.torch.no_grad():
            logprobs = job(ids)
        record(name, time.perf_counter() - start, logprobs)

    def our_run(job, compute, file):
        command = shlex.split(arguments.rust) + ["--model", str(arguments.model), "--job", job]
        command += ["--threads", str(arguments.threads), "--compute", compute, "--ids", file]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **TUNED})
        answer = json.loads(answer.stdout.strip().splitlines()[-1])
        record(f"our {job} {compute}", answer["seconds"], answer["logprobs"])

    computes = arguments.compute.split(",") if arguments.rust else []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ids, file)
        file.flush()
        for peer in peers.values():
            with peer.torch.no_grad():
                peer.score(ids)  # warm up
        for repeat in range(arguments.repeats):
            for dtype, peer in peers.items():
                peer_run(f"peer score {dtype}", peer, peer.score)
                peer_run(f"peer continue {dtype} naive", peer, peer.naive)
                peer_run(f"peer continue {dtype} cached", peer, peer.cached)
            for compute in computes:
                our_run("score", compute, file.name)
                our_run("continue", compute, file.name)
            print(f"repeat {repeat + 1} of {arguments.repeats}", file=sys.stderr)

    median = {name: statistics.median(times) for name, times in seconds.items()}

    def difference(a, b):
        pairs = [(x, y) for row, other in zip(values[a], values[b], strict=True) for x, y in zip(row, other, strict=True)]
        return {"mean": statistics.mean(abs(x - y) for x, y in pairs), "max": max(abs(x - y) for x, y in pairs)}

    def fastest(start, end=""):
        return min(t for name, t in median.items() if name.startswith(start) and name.endswith(end))

    report = {
        "model": arguments.model.name, "threads": arguments.threads, "repeats": arguments.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": peers["f32"].versions,
        "median_seconds": {k: round(v, 3) for k, v in median.items()},
        "range_seconds": {k: [round(min(v), 3), round(max(v), 3)] for k, v in seconds.items()},
        "tokens_per_second": {k: round(n_tokens[k.split()[1]] / v, 1) for k, v in median.items()},
        "peer_difference_to_f32": {
            "bf16": difference("peer score bf16", "peer score f32"),
            "naive, cached": difference("peer continue f32 naive", "peer continue f32 cached"),
        },
    }
    worst = 0.0
    if computes:
        report["ratio to the peer's faster dtype"] = {
            compute: {
                "score": round(fastest("peer score") / median[f"our score {compute}"], 2),
                "continue, against naive": round(fastest("peer continue", "naive") / median[f"our continue {compute}"], 2),
                "continue, against cached": round(fastest("peer continue", "cached") / median[f"our continue {compute}"], 2),
            }
            for compute in computes
        }
        report["our_difference_to_the_peers_f32"] = {
            compute: {
                "score": difference("peer score f32", f"our score {compute}"),
                "continue": difference("peer continue f32 cached", f"our continue {compute}"),
            }
            for compute in computes
        }
        if "f32" in computes:
            worst = max(d["max"] for d in report["our_difference_to_the_peers_f32"]["f32"].values())
    print(json.dumps(report, indent=1))
    if worst > 2e-3:
        sys.exit("the two sides disagree: these times compare different work")


main()
