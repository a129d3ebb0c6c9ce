"""Golden ids, offsets and texts of small tokenizers of every kind, trained here on text of our own.

    python golden/tokenizer/make_kinds.py LLAMA_TOKENIZE > kinds.json
    zstd -19 --long=27 kinds.json -o golden/tokenizer/kinds.json.zst

tokenizers 0.23, sentencepiece 0.2, gguf; LLAMA_TOKENIZE is llama.cpp's program of that name.
`json`: a `tokenizer.json`; ids, byte offsets and decoded text are those of the Python package, ids
of a whole input with its special tokens too. `sentence_piece`: a `.model` file (a letter a byte); ids and
byte offsets are those of the Python package. `gguf`: a file without weights (a letter a byte); ids are
llama.cpp's, of `bert` those of the tokenizer that it was made from.
"""

import io
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

TEXTS = {
    "plain": "The river runs slowly past the old mill, and nobody counts the hours.",
    "french": "L'été dernier, l'élève a mangé des crêpes à l'œuf ; où était-elle ?",
    "german": "Die Größe der Straße überraschte Jürgen – 3,5 Kilometer, ärgerlich!",
    "turkish": "Işıklar İstanbul'da sönünce çocuklar ırmağa koştu.",
    "vietnamese": "Tiếng Việt có nhiều dấu: ắ, ề, ỗ, ự.",
    "russian": "Река медленно течёт мимо старой мельницы, и никто не считает часов.",
    "greek": "Το ποτάμι κυλάει αργά, και κανείς δεν μετράει τις ώρες.",
    "arabic": "يجري النهر ببطء قرب الطاحونة القديمة، ولا أحد يَعُدُّ السّاعات.",
    "hebrew": "הנהר זורם לאט ליד הטחנה הישנה, ואיש אינו סופר את השעות.",
    "persian": "رودخانه آرام می‌گذرد و کسی ساعت‌ها را نمی‌شمارد.",
    "hindi": "नदी पुरानी चक्की के पास धीरे-धीरे बहती है, और कोई घंटे नहीं गिनता। क्षत्रिय",
    "bengali": "নদী ধীরে ধীরে বয়ে যায়, কেউ ঘণ্টা গোনে না।",
    "thai": "แม่น้ำไหลช้าๆ ผ่านโรงสีเก่า และไม่มีใครนับชั่วโมง กำลัง",
    "chinese": "河水慢慢流过老磨坊，没有人数着时间。",
    "japanese": "川は古い水車のそばをゆっくり流れ、ｶﾞｷﾞ、だれも時を数えない。",
    "korean": "강은 낡은 방앗간 옆을 천천히 흐르고 아무도 시간을 세지 않는다.",
    "amharic": "ወንዙ ከድሮው ወፍጮ አጠገብ ቀስ ብሎ ይፈሳል።",
}
AWKWARD = {
    "empty": "",
    "space": " ",
    "spaces": "  two before,   three between,\ttab  and\n\nlines \n",
    "nbsp": "a\u00a0b\u2003c\u200bd\ufeffe",
    "marks": "e\u0301 a\u0308o\u0302 n\u0303 \u0915\u094d\u0937\u093f \u1ea5",
    "emoji": "👩🏽‍💻 🏳️‍🌈 ☺️ 🇪🇺🇹🇭 x",
    "control": "a\u0000b\u0007c\u001fd\u007fe\u0085f",
    "digits": "In 2024: 1234567, 3.14, -0.5; ٣٤٥, ४५६, ¹²³ ½ Ⅷ",
    "rare": "\U00010330\U00010331 \u1a20 ﬁ ﬂ Ａｂｃ ① ㎏ Å \u212b ſ",
    "code": "def f(x):\n    return x**2  # don't WE'LL\n\tif x>=1: print('a\\n')",
    "repeat": "aaaaaaaa bbbb 。。。。 ......",
    "special": "a<s>b </s> <mask><unk>c [CLS]d[SEP] <|x|>e",
    "upper": "ÉCOLE STRASSE ΣΊΣΥΦΟΣ İ DŽ",
    "underscore": "a▁b ▁ Ġc Ċ ##d",
    "long": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
}
CASES = TEXTS | AWKWARD
CORPUS = [text for text in TEXTS.values() for _ in range(3)] + [w for t in TEXTS.values() for w in t.split()]
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def charsmap(rule):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=420, character_coverage=1.0,
        normalization_rule_name=rule, minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def frame(single, pair, tokenizer, names):
    return processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])


def json_tokenizers():
    out = {}
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    def byte_level(pre, **model):
        tokenizer = Tokenizer(models.BPE(**model))
        tokenizer.pre_tokenizer = pre
        tokenizer.decoder = decoders.ByteLevel()
        return train(tokenizer, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))

    out["gpt2"] = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    t = out["roberta"] = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    t = out["llama3"] = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), frame("<s> $A", "<s> $A <s> $B:1", t, ["<s>"])])
    t = out["qwen"] = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    t.normalizer = normalizers.NFC()

    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    out["llama2"] = train(t, trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))
    settings = json.loads(t.to_str())
    settings["added_tokens"] = [a for a in settings["added_tokens"] if not a["content"].startswith("<0x")]
    out["llama2"] = Tokenizer.from_str(json.dumps(settings))

    def unigram(normalizer, pre, special=SPECIAL):
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre
        tokenizer.decoder = decoders.Metaspace()
        return train(tokenizer, trainers.UnigramTrainer(vocab_size=500, unk_token="<unk>", special_tokens=special, show_progress=False))

    nfkc = charsmap("nmt_nfkc")
    t = out["xlm-roberta"] = unigram(normalizers.Sequence([normalizers.Precompiled(nfkc), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Metaspace(prepend_scheme="always"))
    t.post_processor = frame("<s> $A </s>", "<s> $A </s> </s> $B </s>", t, ["<s>", "</s>"])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t = out["mt5"] = unigram(normalizers.Precompiled(nfkc), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]))
    t.post_processor = frame("$A </s>", "$A </s> $B </s>", t, ["</s>"])
    out["metaspace first"] = unigram(normalizers.NFKC(), pre_tokenizers.Metaspace(prepend_scheme="first", split=False))

    def bert(lowercase):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
        tokenizer = train(tokenizer, trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
        tokenizer.post_processor = frame("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", tokenizer, ["[CLS]", "[SEP]"])
        return tokenizer

    out["bert uncased"], out["bert cased"] = bert(True), bert(False)
    out["bert cased"].post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    out["bert cased"].enable_truncation(4)
    out["bert cased"].enable_padding(length=12)

    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    out["word level"] = train(t, trainers.WordLevelTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False))

    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True)])
    t.decoder = decoders.BPEDecoder("</w>")
    out["end of word"] = train(t, trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False))

    def small(normalizer, pre):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
        return train(tokenizer, trainers.BpeTrainer(vocab_size=450, special_tokens=SPECIAL, show_progress=False))

    n, p = normalizers, pre_tokenizers
    out["nfd, scripts"] = small(n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase()]), p.UnicodeScripts())
    out["nfkd, white space"] = small(n.Sequence([n.NFKD(), n.Strip()]), p.WhitespaceSplit())
    out["nmt, delimiter"] = small(n.Sequence([n.Nmt(), n.Prepend("_")]), p.CharDelimiterSplit("e"))
    out["fixed length"] = small(n.NFKC(), p.FixedLength(3))
    out["punctuation"] = small(n.Lowercase(), p.Sequence([p.Punctuation("merged_with_previous"), p.Digits()]))
    out["split"] = small(n.Replace(Regex("[aeiou]"), "*"), p.Split(Regex(r"\p{P}+(?=\s)|\s"), "merged_with_next"))
    return out


def byte_range(text, start, end):
    return [len(text[:start].encode()), len(text[:end].encode())]


def of_json(tokenizer):
    stored = tokenizer.to_str()
    tokenizer = Tokenizer.from_str(stored)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cases = []
    for name, text in CASES.items():
        encoding = tokenizer.encode(text, add_special_tokens=False)
        whole = tokenizer.encode(text)
        pair = tokenizer.encode(text, "b c")
        cases.append({"name": name, "ids": encoding.ids, "offsets": [byte_range(text, *o) for o in encoding.offsets],
                      "decoded": tokenizer.decode(encoding.ids), "whole": whole.ids, "pair": pair.ids, "types": pair.type_ids})
    return {"tokenizer": stored, "cases": cases}


def sentence_pieces():
    settings = {}
    for kind in ("unigram", "bpe"):
        settings[kind] = {"model_type": kind}
        settings[f"{kind} bytes"] = {"model_type": kind, "byte_fallback": True, "normalization_rule_name": "identity", "vocab_size": 700}
        settings[f"{kind} llama"] = {"model_type": kind, "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "vocab_size": 700}
        settings[f"{kind} no prefix"] = {"model_type": kind, "add_dummy_prefix": False, "remove_extra_whitespaces": False, "normalization_rule_name": "nmt_nfkc"}
        settings[f"{kind} suffix"] = {"model_type": kind, "treat_whitespace_as_suffix": True}
        settings[f"{kind} symbols"] = {"model_type": kind, "user_defined_symbols": ["<|x|>", "the", "นับ", "  "], "control_symbols": ["<c>"]}
        settings[f"{kind} plain spaces"] = {"model_type": kind, "split_by_whitespace": False, "split_digits": True, "pad_id": 3}
    settings["char"] = {"model_type": "char"}
    out = {}
    for name, options in settings.items():
        model = io.BytesIO()
        options = {"vocab_size": 460, "character_coverage": 0.98 if "bytes" in name or "symbols" in name else 1.0,
                   "normalization_rule_name": "nmt_nfkc"} | options
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=model, hard_vocab_limit=False, minloglevel=2, **options)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        cases = []
        for case, text in CASES.items():
            if case == "special":
                continue
            found = processor.encode(text, return_type="proto").pieces
            cases.append({"name": case, "ids": [p.id for p in found], "offsets": [[p.begin, p.end] for p in found]})
        out[name] = {"model": model.getvalue().decode("latin-1"), "cases": cases}
    return out


def write_gguf(path, fields):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512), writer.add_embedding_length(8), writer.add_block_count(1)
    writer.add_feed_forward_length(8), writer.add_head_count(1), writer.add_layer_norm_rms_eps(1e-5)
    for name, value in fields.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.close()


def ggufs(program, jsons, pieces):
    normal, unknown, control, user, byte = 1, 2, 3, 4, 6
    files = {}

    def of_model(base, kind):
        proto = sentencepiece_model_pb2.ModelProto.FromString(base.encode("latin-1"))
        fields = {"tokenizer_model": kind, "token_list": [p.piece for p in proto.pieces],
                  "token_scores": [p.score for p in proto.pieces], "token_types": [p.type for p in proto.pieces],
                  "bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0,
                  "add_space_prefix": proto.normalizer_spec.add_dummy_prefix}
        if kind == "t5":
            fields["remove_extra_whitespaces"] = proto.normalizer_spec.remove_extra_whitespaces
            if proto.normalizer_spec.precompiled_charsmap:
                fields["precompiled_charsmap"] = proto.normalizer_spec.precompiled_charsmap
        return fields

    files["llama"] = of_model(pieces["bpe llama"]["model"], "llama")
    files["t5"] = of_model(pieces["unigram"]["model"], "t5")
    files["t5 no prefix"] = of_model(pieces["unigram no prefix"]["model"], "t5")
    settings = json.loads(jsons["bert uncased"].to_str())
    vocab = sorted(settings["model"]["vocab"], key=settings["model"]["vocab"].get)
    special = {token["content"] for token in settings["added_tokens"]}
    phantom = lambda t: t if t in special else t[2:] if t.startswith("##") else "▁" + t
    files["bert"] = {"tokenizer_model": "bert", "tokenizer_pre": "jina-v2-en", "token_list": [phantom(t) for t in vocab],
                     "token_types": [control if t in special else normal for t in vocab],
                     "unk_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0, "mask_token_id": 4}
    settings = json.loads(jsons["gpt2"].to_str())
    vocab = sorted(settings["model"]["vocab"], key=settings["model"]["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in settings["model"]["merges"]]
    for pre in ("default", "gpt-2", "smollm", "llama-bpe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",
                "stablelm2", "bloom", "viking", "tekken", "gpt-4o", "chameleon", "bailingmoe"):
        files[f"gpt2 {pre}"] = {"tokenizer_model": "gpt2", "tokenizer_pre": pre, "token_list": vocab,
                                "token_types": [control if t in SPECIAL else normal for t in vocab],
                                "token_merges": merges, "bos_token_id": 1, "eos_token_id": 2}
    words = [bytes([b]) for b in range(256)] + sorted({w.encode() for t in TEXTS.values() for w in t.split()})[:150] + [b" the", b"\n\n", b"th", b"riv"]
    words = list(dict.fromkeys(words))
    escaped = ["<s>"] + ["".join(chr(b) if 32 < b < 127 and b != 92 else f"\\x{b:02x}" for b in w) for w in words]
    files["rwkv"] = {"tokenizer_model": "rwkv", "token_list": escaped, "token_types": [control] + [normal] * len(words)}
    out = {}
    for name, fields in files.items():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.gguf")
            write_gguf(path, fields)
            cases, failed = [], None
            for case, text in CASES.items():
                if name == "bert":
                    # llama.cpp keeps accents, and takes `▁b` within a word for a word's begin.
                    cases.append({"name": case, "ids": jsons["bert uncased"].encode(text, add_special_tokens=False).ids})
                    continue
                # The program reads a text up to its first zero byte.
                if "\0" in text or not text:
                    continue
                with open(os.path.join(folder, "text"), "w", newline="") as f:
                    f.write(text)
                run = subprocess.run([program, "-m", path, "-f", f.name, "--ids", "--no-bos", "--no-escape", "--log-disable"], capture_output=True, text=True)
                if run.returncode:
                    failed = run.stderr[-300:]
                    break
                cases.append({"name": case, "ids": json.loads(run.stdout.strip().splitlines()[-1])})
            if failed:
                print(name, failed, file=sys.stderr)
                continue
            out[name] = {"file": open(path, "rb").read().decode("latin-1"), "cases": cases}
    return out


jsons = json_tokenizers()
pieces = sentence_pieces()
print(json.dumps({"texts": CASES, "json": {name: of_json(t) for name, t in jsons.items()}, "sentence_piece": pieces,
                  "gguf": ggufs(sys.argv[1], jsons, pieces)}, ensure_ascii=False))
