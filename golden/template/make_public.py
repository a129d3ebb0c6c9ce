"""Golden renderings of public models' chat templates, by transformers.

    python golden/template/make_public.py TRL_WHEEL_FOLDER LLAMA_CPP_FOLDER [MORE_FOLDER…] > public.json
    zstd -19 public.json -o golden/template/public.json.zst

transformers 5.23, jinja2 3.1.6. TRL_WHEEL_FOLDER holds `trl/chat_templates` of the PyPI package
`trl` 1.16.0 (Apache-2.0), LLAMA_CPP_FOLDER is `vendor/llama.cpp/models/templates` of
`llama-cpp-python` 0.3.36 (MIT); further folders are searched for `*.jinja`. Equal templates count
once. Cohere's, whose models are not for commercial use, are left out with `--publish`.

The date is 1 January 2025. `text` is null where transformers raises. `assistant` are the
characters from and to which an assistant speaks, of templates with `{% generation %}`.
"""

import datetime
import json
import logging
import re
import sys
from pathlib import Path

from transformers.utils import chat_template_utils as utils

logging.disable(logging.CRITICAL)


class Date(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 1, 1, tzinfo=tz)


utils.datetime = Date

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "Wetter an einem Ort; \"heute\" <b>&</b> 'morgen'",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "مدينة"},
            "days": {"type": "integer", "default": 1},
            "unit": {"type": "string", "enum": ["°C", "°F"]},
            "parts": {"type": "array", "items": {"type": "string"}},
        }, "required": ["place"]}}},
    {"type": "function", "function": {"name": "now", "description": "时间", "parameters": {"type": "object", "properties": {}}}},
]
CALL = {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": {"place": "北京", "days": 2, "x": [1.5, True, None]}}}

DIALOGUES = {
    "plain": {"messages": [{"role": "user", "content": "What is 2 + 2? <b>&\"x\"</b>"}]},
    "system": {"messages": [
        {"role": "system", "content": "Antworte kurz.\n"},
        {"role": "user", "content": "  नमस्ते, आप कैसे हैं? e\u0301 "},
    ]},
    "turns": {"messages": [
        {"role": "user", "content": "مرحبا، كيف حالك؟"},
        {"role": "assistant", "content": "أنا بخير.\n\n"},
        {"role": "user", "content": "สบายดีไหม กำลัง"},
        {"role": "assistant", "content": "<think>\nว่าง\n</think>\n\nสบายดี 🙂"},
        {"role": "user", "content": "再见?\n"},
    ]},
    "closed": {"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "안녕"},
        {"role": "assistant", "content": "ok, 好的 👩🏽‍💻"},
    ]},
    "thoughts": {"messages": [
        {"role": "user", "content": "7 × 6?"},
        {"role": "assistant", "reasoning_content": "seven sixes", "content": "42"},
        {"role": "user", "content": "+1"},
    ]},
    "tools": {"messages": [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Погода?"},
    ], "tools": TOOLS},
    "calls": {"messages": [
        {"role": "user", "content": "天气怎么样?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "name": "weather", "tool_call_id": "call00001", "content": "{\"°C\": 21.5}"},
        {"role": "assistant", "content": "21,5 °C"},
        {"role": "user", "content": "gracias"},
    ], "tools": TOOLS},
    "call strings": {"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "hm", "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": "{\"place\": \"ที่นี่\"}"}}]},
        {"role": "tool", "name": "weather", "tool_call_id": "call00001", "content": "ok"},
    ], "tools": TOOLS},
    "parts": {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "שלום"}, {"type": "text", "text": " world"}]},
    ]},
    "empty": {"messages": [{"role": "user", "content": ""}]},
    "no user": {"messages": [{"role": "assistant", "content": "I begin."}, {"role": "assistant", "content": "And go on."}]},
}
ENDINGS = [("closed", {}), ("generation-prompt", {"add_generation_prompt": True}), ("continue-final", {"continue_final_message": True})]
BOS_EOS = {"bos_token": "<s>", "eos_token": "</s>"}


def render(source, dialogue, settings, track=False):
    chat = [{k: v for k, v in message.items() if v is not None} for message in dialogue["messages"]]
    texts, indices = utils.render_jinja_template(
        [chat], tools=dialogue.get("tools"), chat_template=source, return_assistant_tokens_mask=track,
        **settings, **BOS_EOS)
    return texts[0], indices[0] if indices else None


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--publish"]
    publish = "--publish" in sys.argv
    templates, seen = {}, set()
    for folder in arguments:
        for path in sorted(Path(folder).rglob("*.jinja")):
            source = path.read_text(encoding="utf-8")
            if source in seen or "_inductor" in str(path) or publish and "cohere" in path.name.lower():
                continue
            seen.add(source)
            name = path.stem
            while name in templates:
                name += "'"
            templates[name] = source
    cases = []
    for name, source in templates.items():
        tracked = re.search(r"\{%-?\s*generation\s*-?%\}", source)
        for dialogue_name, dialogue in DIALOGUES.items():
            for ending, settings in ENDINGS:
                if ending == "continue-final" and dialogue["messages"][-1]["role"] != "assistant":
                    continue
                case = {"template": name, "dialogue": dialogue_name, "ending": ending, "text": None}
                try:
                    case["text"], _ = render(source, dialogue, settings)
                    if tracked and ending != "continue-final":
                        _, case["assistant"] = render(source, dialogue, settings, track=True)
                except Exception as error:
                    case["error"] = f"{type(error).__name__}: {error}"[:200]
                cases.append(case)
    print(json.dumps({"dialogues": DIALOGUES, "templates": templates, "cases": cases}, ensure_ascii=False))
    n_texts = sum(case["text"] is not None for case in cases)
    print(f"{len(templates)} templates, {len(cases)} cases, {n_texts} texts", file=sys.stderr)


main()
