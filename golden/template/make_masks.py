"""Golden masks of the assistant's tokens: `apply_chat_template(return_assistant_tokens_mask=True)`.

    python golden/template/make_masks.py > masks.json
    zstd -19 masks.json -o golden/template/masks.json.zst

transformers 5.23. Templates with `{% generation %}` and dialogues are those of `public.json.zst`,
the tokenizer is `gpt2` of `golden/tokenizer/kinds.json.zst`.
"""

import json
import logging
import subprocess
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

logging.disable(logging.CRITICAL)
HERE = Path(__file__).parent


def golden(path):
    return json.loads(subprocess.run(["zstd", "-dcq", "--long=27", path], capture_output=True, check=True).stdout)


public = golden(HERE / "public.json.zst")
stored = golden(HERE / "../tokenizer/kinds.json.zst")["json"]["gpt2"]["tokenizer"]
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(stored), bos_token="<s>", eos_token="</s>")
cases = []
for case in public["cases"]:
    if not case.get("assistant") or case["ending"] != "closed":
        continue
    dialogue = public["dialogues"][case["dialogue"]]
    out = tokenizer.apply_chat_template(
        dialogue["messages"], tools=dialogue.get("tools"), chat_template=public["templates"][case["template"]],
        return_assistant_tokens_mask=True, return_dict=True)
    runs, mask = [], out["assistant_masks"]
    for at, said in enumerate(mask):
        if said and (at == 0 or not mask[at - 1]):
            runs.append([at, at + 1])
        elif said:
            runs[-1][1] = at + 1
    cases.append({"template": case["template"], "dialogue": case["dialogue"], "n_tokens": len(mask), "runs": runs})
print(json.dumps(cases))
