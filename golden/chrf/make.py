"""Golden values of chrF++: pairs in several scripts through sacreBLEU.

    python golden/chrf/make.py > golden/chrf/pairs.json        (sacrebleu 2.x: chrF2++, nc 6, nw 2)

Each pair's own score, and the score of all as one corpus.
"""

import json

from sacrebleu.metrics import CHRF

PAIRS = [
    ("Latin", "The cat sits on the mat.", "A cat is sitting on the mat!"),
    ("Latin, equal", "Everyone has the right to life.", "Everyone has the right to life."),
    ("Latin, nothing shared", "abc", "xyz"),
    ("Latin, one letter", "a", "a b"),
    ("Latin, punctuation", '"Yes", she said: (no) - what?! ...', "'Yes' she said; no - what? . !a"),
    ("Latin, marks", "Tất cả mọi người sinh ra đều được tự do", "Mọi người sinh ra tự do và bình đẳng"),
    ("Arabic", "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.", "يولد الناس أحرارًا ومتساوين في الكرامة"),
    ("Devanagari", "सभी मनुष्यों को गौरव और अधिकारों के मामले में स्वतन्त्रता", "सभी मनुष्य जन्म से स्वतन्त्र हैं।"),
    ("Thai", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน", "มนุษย์ทุกคนเกิดมามีอิสระ"),
    ("Han", "人人生而自由，在尊严和权利上一律平等。", "人人生来自由，权利平等。"),
    ("Ethiopic", "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።", "ሰው ሁሉ ነጻ ሆኖ ተወለደ።"),
    ("long against short", "one two three four five six seven eight", "two"),
    ("empty answer", "", "something"),
    ("white space", "  a  b\tc \n d ", "a b c d"),
]

chrf = CHRF(char_order=6, word_order=2, beta=2)
print(json.dumps({
    "pairs": [
        {"name": name, "answer": answer, "reference": reference,
         "score": chrf.sentence_score(answer, [reference]).score}
        for name, answer, reference in PAIRS
    ],
    "corpus": chrf.corpus_score([a for _, a, _ in PAIRS], [[r for _, _, r in PAIRS]]).score,
}, ensure_ascii=False, indent=1))
