"""Holds published numbers that stand beside the paper's own."""

from __future__ import annotations

# MTEB's published results (repository embeddings-benchmark/results): cosine of mean pooling, Spearman x 100 over
# all rows.
MTEB = {
    "all-MiniLM-L6-v2": {
        "sts12": 72.37,
        "sts13": 80.60,
        "sts14": 75.59,
        "sts15": 85.39,
        "stsb": 82.03,
        "sick_r": 77.58,
    }
}
OTHER_ROWS = ("stsb", "sick_r")  # MTEB scores the test split of STS-B, and all 9,927 pairs of SICK-R
# Reimers and Gurevych (2019), Sentence-BERT: BERT-base without further training.
PROBED, COSINE = (84.66, 84.94), (29.19, 54.81)  # [CLS] and mean: their tables 5 and 1
SBERT = (
    "Published for frozen BERT-base, means over tasks as they were published (Reimers and Gurevych 2019): SentEval's "
    f"probes, accuracy, [CLS] {PROBED[0]}, mean {PROBED[1]} (their table 5); cosine, Spearman × 100, [CLS] "
    f"{COSINE[0]}, mean {COSINE[1]} (table 1). Neither is averaged with a number of this page."
)
PUBLISHED_BASE = (
    f"What is published for it (below the tables) has the mean {PROBED[1] - PROBED[0]:.2f} points of accuracy above "
    f"[CLS] under probes, and {COSINE[1] - COSINE[0]:.1f} points above it under the cosine."
)
MTEB_NOTE = (
    "MTEB: the published score of the same encoder's mean (embeddings-benchmark/results); ‡ on another split: STS-B's "
    "test split (here the development split), all of SICK-R (here its test part)."
)
