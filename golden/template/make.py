"""Golden chat renderings: templates of our own in the habits of published ones, by transformers.

    python golden/template/make.py > golden/template/renderings.json        (transformers 5.23)

`text` is null where the template refuses the dialogue.
"""

import json

from transformers.utils.chat_template_utils import _compile_jinja_template

TEMPLATES = {
    "chatml": """{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = 'You help.' -%}
    {%- set turns = messages -%}
{%- endif -%}
<|im_start|>system
{{ system }}<|im_end|>
{% for message in turns %}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "alternate": """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}""",
    "namespace": """{%- set ns = namespace(last=-1, out='') %}
{%- for message in messages[::-1] %}
    {%- if ns.last < 0 and message.role == 'user' %}{% set ns.last = (messages | length - 1) - loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}{% continue %}{% endif %}
    {%- set content = message.content.split('</think>')[-1].lstrip('\\n') if '</think>' in message.content else message.content %}
    {{- '[' ~ message.role.upper()[:1] ~ loop.index ~ ']' ~ content.strip() }}
    {%- if loop.index0 == ns.last and tools is none %}{{- ' <last>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt is defined and add_generation_prompt %}{{ '[A]' }}{% endif %}""",
    "macro": """{% macro turn(m, end='</s>') %}{{ m.role | upper | replace('USER', 'Human') }}: {{ m.content }}{{ end if not loop_last else '' }}{% endmacro %}
{% for m in messages %}{{ turn(m, end=eos_token) }}
{% endfor %}{{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}
{{ messages | map(attribute='role') | unique | sort | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{% generation %}x{% endgeneration %}""",
}

DIALOGUES = [
    [{"role": "user", "content": " สวัสดี <b>& \"x\"\n"}],
    [{"role": "system", "content": "Sei kurz."}, {"role": "user", "content": "مرحبا"},
     {"role": "assistant", "content": "<think>hm</think>\n\nनमस्ते e\u0301"}, {"role": "user", "content": "再见?\\n"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "'b'"}],
]

cases = []
for name, template in TEMPLATES.items():
    for messages in DIALOGUES:
        for prompt in (True, False):
            try:
                text = _compile_jinja_template(template).render(
                    messages=messages, tools=None, documents=None, add_generation_prompt=prompt,
                    bos_token="<s>", eos_token="</s>")
            except Exception:
                text = None
            cases.append({"template": name, "messages": messages, "add_generation_prompt": prompt, "text": text})
print(json.dumps({"templates": TEMPLATES, "cases": cases}, indent=1))
