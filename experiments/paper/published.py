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
SBERT = (
    "Published for frozen BERT-base, means over tasks as they were published (Reimers and Gurevych 2019): SentEval's "
    "probes, accuracy, [CLS] 84.66, mean 84.94 (their table 5); cosine, Spearman × 100, [CLS] 29.19, mean 54.81 "
    "(table 1). Neither is averaged with a number of this page."
)
MTEB_NOTE = (
    "MTEB: the published score of the same encoder's mean (embeddings-benchmark/results); ‡ on other rows: STS-B's "
    "test split (here the development split), all of SICK-R (here its test part)."
)
