"""Holds published numbers that stand beside the paper's own."""

from __future__ import annotations

# MTEB's published results (repository embeddings-benchmark/results): cosine of mean pooling, Spearman x 100 over
# all rows. SICK-R there holds all 9,927 pairs, here its test rows.
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
# Reimers and Gurevych (2019), Sentence-BERT: BERT-base without further training.
SBERT = (
    "Published for frozen BERT-base, means over tasks as they were published (Reimers and Gurevych 2019): SentEval's "
    "probes, accuracy, [CLS] 84.66, mean 84.94 (their table 5); cosine, Spearman × 100, [CLS] 29.19, mean 54.81 "
    "(table 1). Neither is averaged with a number of this page."
)
MTEB_NOTE = (
    "MTEB: the published score of the mean (embeddings-benchmark/results); its SICK-R holds all pairs, not the test "
    "part alone."
)
