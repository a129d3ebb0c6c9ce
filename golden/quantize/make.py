"""Golden values of quantization: tiny models through llama.cpp's `llama-quantize`, every format.

    python golden/quantize/make.py LLAMA_QUANTIZE > golden/quantize/tensors.json
    (llama.cpp 0c1e570, gguf 0.19, numpy, blake3)

Weights come from a counter (below), so that no weight is committed: a test makes the same ones.
Per model and format: for each tensor its type and the BLAKE3 hash of its bytes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from blake3 import blake3

FORMATS = ["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M",
           "Q4_K_S", "Q4_1", "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"]

# architecture, blocks, width, heads, heads of keys and values, head size, feed-forward, vocabulary, tied
MODELS = {
    "wide": ("llama", 8, 256, 2, 1, 32, 256, 64, True),
    "narrow": ("llama", 4, 96, 4, 1, 32, 512, 64, False),
    "fused": ("phi3", 4, 256, 8, 8, 32, 256, 64, False),
}


def weights(seed, n):
    """n values, roughly normal, some groups of zeros and some outliers: exact in f32."""
    with np.errstate(over="ignore"):
        z = np.arange(n, dtype=np.uint64) + np.uint64(seed) * np.uint64(1 << 32)
        z = (z + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    parts = [((z >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64) for k in range(4)]
    x = (sum(parts) - 131070).astype(np.float64) / float(1 << 20)
    at = np.arange(n)
    x[at // 16 % 97 == 5] = 0.0
    x[at % 1013 == 7] *= 16.0
    return x.astype(np.float32)


def tensors(arch, blocks, d, heads, kv, head, ff, vocab, tied):
    out = [("token_embd.weight", (vocab, d))]
    for i in range(blocks):
        name = lambda part: f"blk.{i}.{part}.weight"
        out.append((name("attn_norm"), (d,)))
        if arch == "phi3":
            out.append((name("attn_qkv"), ((heads + 2 * kv) * head, d)))
        else:
            out += [(name("attn_q"), (heads * head, d)), (name("attn_k"), (kv * head, d)), (name("attn_v"), (kv * head, d))]
        out += [(name("attn_output"), (d, heads * head)), (name("ffn_norm"), (d,))]
        if arch == "phi3":
            out.append((name("ffn_up"), (2 * ff, d)))
        else:
            out += [(name("ffn_gate"), (ff, d)), (name("ffn_up"), (ff, d))]
        out.append((name("ffn_down"), (d, ff)))
    out.append(("output_norm.weight", (d,)))
    if not tied:
        out.append(("output.weight", (vocab, d)))
    return out


golden = {}
with tempfile.TemporaryDirectory() as folder:
    for model, shape in MODELS.items():
        arch, blocks, d, heads, kv, head, ff, vocab, tied = shape
        source = Path(folder) / f"{model}.gguf"
        writer = gguf.GGUFWriter(source, arch)
        writer.add_block_count(blocks)
        writer.add_context_length(64)
        writer.add_embedding_length(d)
        writer.add_feed_forward_length(ff)
        writer.add_head_count(heads)
        writer.add_head_count_kv(kv)
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_dimension_count(head)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(vocab)
        for seed, (name, dims) in enumerate(tensors(*shape)):
            writer.add_tensor(name, weights(seed, int(np.prod(dims))).reshape(dims))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        golden[model] = {}
        for kind in FORMATS:
            target = Path(folder) / f"{model}-{kind}.gguf"
            done = subprocess.run([sys.argv[1], source, target, kind], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr[-2000:])
            golden[model][kind.lower()] = {
                t.name: f"{t.tensor_type.name} {blake3(t.data.tobytes()).hexdigest()[:16]}"
                for t in sorted(gguf.GGUFReader(target).tensors, key=lambda t: t.name) if "_norm" not in t.name
            }
print(json.dumps(golden, indent=0))
