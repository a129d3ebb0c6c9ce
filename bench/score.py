"""Side by side with transformers (f32): what scoring costs on the same texts, ids and cores.

    python bench/score.py --model A.gguf --rust "cargo run -q --release -p isogloss-model --example bench --"

Two jobs, repeated in turn (peer, ours, peer, ours, ...), median of the repeats:
  score     8 sequences of 256 tokens, log-probability of every token
  continue  15 continuations (16 tokens each) of one shared context of 256 tokens
The peer does `continue` twice: naive (each context and continuation whole, in one batch, as users
of transformers write it) and cached (the context once into `past_key_values`, then a batch of
continuations). Prints one JSON with seconds, tokens per second, and ratios peer / ours (above 1:
ours is faster), and checks that both sides give the same log-probabilities (2e-3 a token).

The Rust side gets `--model A.gguf --job score|continue --threads N --ids FILE` and prints one JSON
line {"seconds": s, "logprobs": [[...], ...]} where seconds covers the job alone, not loading.
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
    def __init__(self, path, threads):
        import torch
        import transformers

        self.torch, self.versions = torch, {"torch": torch.__version__, "transformers": transformers.__version__}
        torch.set_num_threads(threads)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()

    def picked(self, logits, ids):
        """log p of ids[:, t] from logits[:, t]."""
        return self.torch.log_softmax(logits, -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)

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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in TUNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TUNED})
    ids = prepare(arguments.golden)
    peer = Peer(arguments.model, arguments.threads)
    n_tokens = {"score": N_SEQUENCES * N_TOKENS, "continue": N_TOKENS + N_CONTINUATIONS * N_NEW}
    seconds, values = {}, {}

    def record(name, elapsed, logprobs):
        seconds.setdefault(name, []).append(elapsed)
        values[name] = logprobs

    def peer_run(name, job):
        start = time.perf_counter()
        with peer.torch.no_grad():
            logprobs = job(ids)
        record(name, time.perf_counter() - start, logprobs)

    def our_run(name, job, file):
        command = shlex.split(arguments.rust) + ["--model", str(arguments.model), "--job", job]
        command += ["--threads", str(arguments.threads), "--ids", file]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **TUNED})
        answer = json.loads(answer.stdout.strip().splitlines()[-1])
        record(name, answer["seconds"], answer["logprobs"])

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ids, file)
        file.flush()
        with peer.torch.no_grad():
            peer.score(ids)  # warm up
        for repeat in range(arguments.repeats):
            peer_run("peer score", peer.score)
            if arguments.rust:
                our_run("our score", "score", file.name)
            peer_run("peer continue naive", peer.naive)
            peer_run("peer continue cached", peer.cached)
            if arguments.rust:
                our_run("our continue", "continue", file.name)
            print(f"repeat {repeat + 1} of {arguments.repeats}", file=sys.stderr)

    median = {name: statistics.median(times) for name, times in seconds.items()}

    def difference(a, b):
        return max(abs(x - y) for row, other in zip(values[a], values[b], strict=True) for x, y in zip(row, other, strict=True))

    report = {
        "model": arguments.model.name, "threads": arguments.threads, "repeats": arguments.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": peer.versions,
        "median_seconds": {k: round(v, 3) for k, v in median.items()},
        "range_seconds": {k: [round(min(v), 3), round(max(v), 3)] for k, v in seconds.items()},
        "tokens_per_second": {k: round(n_tokens[k.split()[1]] / v, 1) for k, v in median.items()},
        "naive_equals_cached": difference("peer continue naive", "peer continue cached"),
    }
    if arguments.rust:
        report["ratio"] = {
            "score": round(median["peer score"] / median["our score"], 2),
            "continue, against naive": round(median["peer continue naive"] / median["our continue"], 2),
            "continue, against cached": round(median["peer continue cached"] / median["our continue"], 2),
        }
        report["logprob_difference_max"] = {
            "score": difference("peer score", "our score"),
            "continue": difference("peer continue cached", "our continue"),
        }
    print(json.dumps(report, indent=1))
    if arguments.rust and max(report["logprob_difference_max"].values()) > 2e-3:
        sys.exit("the two sides disagree: these times compare different work")


main()
