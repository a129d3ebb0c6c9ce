"""Golden values of de-quantization: seeded random blocks through the `gguf` package.

    python golden/quant/make.py > golden/quant/blocks.json        (gguf 0.19, numpy)

Bytes are hexadecimal; values are the bits of each f32, hexadecimal, big end first, so that a test
compares bit for bit. Scales are drawn as finite numbers; everything else is random bytes.
"""

import json

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# Where a block keeps its 16-bit scales.
SCALES = {
    "F32": [], "F16": [], "BF16": [],
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0],
}

rng = np.random.default_rng(20261124)
out = {}
for name, scales in SCALES.items():
    kind = Type[name]
    block_len, block_bytes = GGML_QUANT_SIZES[kind]
    n_blocks = {1: 40, 32: 3, 256: 2}[block_len]
    if name == "F32":
        raw = rng.standard_normal(n_blocks).astype("<f4").tobytes()
    elif name == "F16":
        raw = (rng.standard_normal(n_blocks) * 10.0 ** rng.integers(-7, 4, n_blocks)).astype("<f2").tobytes()
    elif name == "BF16":
        raw = (rng.standard_normal(n_blocks).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    else:
        blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
        for at in scales:
            scale = (rng.standard_normal(n_blocks) * 0.01).astype("<f2")
            blocks[:, at : at + 2] = scale.view(np.uint8).reshape(n_blocks, 2)
        raw = blocks.tobytes()
    values = dequantize(np.frombuffer(raw, dtype=np.uint8), kind).astype(">f4")
    out[name] = {"bytes": raw.hex(), "f32_bits": values.tobytes().hex()}
print("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()) + "\n}")
