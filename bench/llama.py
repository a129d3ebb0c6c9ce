"""Side by side with llama.cpp on the same GGUF file: prefill and decode of one sequence.

    python bench/llama.py --model A.gguf --llama-bench llama-bench \
        --rust "cargo run -q --release -p isogloss-model --example single --"

Jobs, repeated in turn (peer, ours, peer, ours, ...), medians of the repeats, tokens per second:
  prefill   256 and 512 tokens into an empty context (llama-bench: -p)
  decode    64 tokens, one after the other (llama-bench: -n)
llama.cpp multiplies stored integers with activations rounded to 8 bits, as our int8 does; our f32 is
exact. The Rust side gets `--model FILE --threads N --compute C` and prints one JSON line
{"prefill 256": tokens per second, "prefill 512": ..., "decode 64": ..., "load": seconds to the first score}.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--llama-bench", required=True, help="llama.cpp's llama-bench")
    parser.add_argument("--rust", required=True, help="command of our side")
    parser.add_argument("--compute", default="f32,int8", help="ways of computing of our side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rates = {}

    def peer():
        command = shlex.split(arguments.llama_bench) + ["-m", str(arguments.model), "-t", str(arguments.threads)]
        command += ["-p", "256,512", "-n", "64", "-r", "1", "-o", "json"]
        for row in json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout):
            name = f"prefill {row['n_prompt']}" if row["n_prompt"] else f"decode {row['n_gen']}"
            rates.setdefault(f"peer {name}", []).append(row["avg_ts"])
            version = row["build_commit"]
        return version

    def ours(compute):
        command = shlex.split(arguments.rust) + ["--model", str(arguments.model)]
        command += ["--threads", str(arguments.threads), "--compute", compute]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        for name, rate in json.loads(answer.strip().splitlines()[-1]).items():
            rates.setdefault(f"our {compute} {name}", []).append(rate)

    for repeat in range(arguments.repeats):
        version = peer()
        for compute in arguments.compute.split(","):
            ours(compute)
        print(f"repeat {repeat + 1} of {arguments.repeats}", file=sys.stderr)
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps({
        "model": arguments.model.name, "threads": arguments.threads, "repeats": arguments.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "llama.cpp": version,
        "median": {name: round(value, 3) for name, value in median.items()},
        "range": {name: [round(min(v), 3), round(max(v), 3)] for name, v in rates.items()},
        "ratio ours / peer": {
            name.removeprefix("our "): round(value / median["peer " + name.split(" ", 2)[2]], 2)
            for name, value in median.items() if name.startswith("our ") and not name.endswith("load")
        },
    }, indent=1))


main()
