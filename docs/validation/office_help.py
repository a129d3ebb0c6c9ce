"""Aligned lines from the help pages of an office suite, for `isogloss survey validate ladder`.

    apt-get download libreoffice-help-{en-us,eu,ru,hi,el,ko}
    for deb in *.deb; do dpkg-deb -x "$deb" pages; done
    python office_help.py pages office-help eng=en-US eus=eu rus=ru hin=hi ell=el kor=ko

Writes one file per language, line n the same paragraph in all. Paragraphs are matched by page and id;
one that says different things on different systems, that is very
short or long, or that repeats another is left out, and a
line stays empty where a language has no translation. The text is the suite's (MPL-2.0): it is read from
the packages and belongs into no repository.
"""

import html
import re
import sys
import unicodedata
from pathlib import Path

PARAGRAPH = re.compile(r'<(p|h[1-6]) id="((?:par|hd)_id\w+)"[^>]*>(.*?)</\1>', re.DOTALL)
N_CHARS_MIN, N_CHARS_MAX = 30, 400


def paragraphs(folder):
    found = {}
    for page in sorted(folder.rglob("*.html")):
        for _, name, inner in PARAGRAPH.findall(page.read_text(encoding="utf-8", errors="replace")):
            if "switchinline" in inner or "<script" in inner:
                continue
            text = html.unescape(re.sub(r"<[^>]*>", "", inner))
            text = unicodedata.normalize("NFC", " ".join(text.split()))
            found.setdefault((str(page.relative_to(folder)), name), text)
    return found


def main():
    pages, out = Path(sys.argv[1]), Path(sys.argv[2])
    languages = dict(argument.split("=") for argument in sys.argv[3:])
    texts = {}
    for lang, name in languages.items():
        folder = next(path for path in pages.rglob(f"help/{name}") if path.is_dir())
        texts[lang] = paragraphs(folder)
    seen = {lang: set() for lang in languages}
    lines = []
    for key, english in sorted(texts["eng"].items()):
        if not N_CHARS_MIN <= len(english) <= N_CHARS_MAX or english in seen["eng"]:
            continue
        row = {"eng": english}
        for lang, found in texts.items():
            text = found.get(key, "")
            # Han and Hangul say in half the characters what the others do.
            if len(text) >= N_CHARS_MIN / 2 and text != english and text not in seen[lang]:
                row[lang] = text
        if len(row) > 1:
            for lang, text in row.items():
                seen[lang].add(text)
            lines.append(row)
    out.mkdir(parents=True, exist_ok=True)
    for lang in languages:
        text = "".join(row.get(lang, "") + "\n" for row in lines)
        (out / f"{lang}.txt").write_text(text, encoding="utf-8")
        texts_here = [row[lang] for row in lines if lang in row]
        print(lang, len(texts_here), "texts,", sum(map(len, texts_here)), "characters")


main()
