"""Initial embedding tables: factorised co-occurrences for words, sinusoids for positions."""

from __future__ import annotations

import numpy as np

from experiments.pretraining.corpus import SPECIAL, Corpus

WINDOW = 8  # word pieces to either side; a neighbour at distance d counts 1 / d
SMOOTHING = 0.75  # exponent on the context's frequency


def cooccurrences(corpus: Corpus, vocab_size: int) -> np.ndarray:
    """Count word pieces that stand near each other in one document.

    Returns
    -------
    float32 array of shape (vocab_size, vocab_size)
        Symmetric; a pair at distance d adds 1 / d.
    """
    document = np.searchsorted(corpus.documents, np.arange(len(corpus.tokens)), side="right").astype(np.int32)
    tokens = corpus.tokens.astype(np.int64)
    counts = np.zeros(vocab_size * vocab_size, np.float32)
    for distance in range(1, WINDOW + 1):
        inside = document[distance:] == document[:-distance]
        pairs = tokens[:-distance][inside] * vocab_size + tokens[distance:][inside]
        counts += np.bincount(pairs, minlength=len(counts)).astype(np.float32) / distance
    square = counts.reshape(vocab_size, vocab_size)
    return square + square.T


def embeddings(corpus: Corpus, vocab_size: int, width: int, deviation: float, seed: int) -> np.ndarray:
    """Factorise the positive pointwise mutual information by a truncated SVD.

    Parameters
    ----------
    deviation : float
        Standard deviation of the entries.

    Returns
    -------
    float32 array of shape (vocab_size, width)
        Rows of special tokens and of pieces that the text lacks are random.

    References
    ----------
    Levy and Goldberg (2014), Neural Word Embedding as Implicit Matrix Factorization.
    Levy, Goldberg and Dagan (2015), Improving Distributional Similarity with Lessons Learned from
    Word Embeddings, for the smoothed context and the square root of the values.
    """
    from sklearn.utils.extmath import randomized_svd

    counts = cooccurrences(corpus, vocab_size)
    row = counts.sum(axis=1)
    context = row**SMOOTHING
    context /= context.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        np.log(counts / (row[:, None] * context), out=counts)
    counts[~np.isfinite(counts)] = 0
    np.maximum(counts, 0, out=counts)
    left, values, _ = randomized_svd(counts, width, n_iter=4, random_state=seed)
    found = left * np.sqrt(values)
    rng = np.random.default_rng(seed)
    # A random rotation spreads frequent and rare directions over all attention heads.
    found = found @ np.linalg.qr(rng.standard_normal((width, width)))[0]
    empty = row == 0
    empty[: len(SPECIAL)] = True
    found *= deviation / found[~empty].std()
    found[empty] = rng.standard_normal((int(empty.sum()), width)) * deviation
    return found.astype(np.float32)


def sinusoids(positions: int, width: int, deviation: float) -> np.ndarray:
    """Return sines and cosines of the position; wavelengths go from 4 to twice the positions.

    A shift by any number of places is one rotation, so that attention to a neighbour is learnt for
    all places at once. Training changes the table later.

    Returns
    -------
    float32 array of shape (positions, width)

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, section 3.5.
    """
    lengths = np.geomspace(4, 2 * positions, width // 2)
    angles = 2 * np.pi * np.arange(positions)[:, None] / lengths
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(positions, -1)
    table = np.pad(table, [(0, 0), (0, width - table.shape[1])])
    return np.asarray(table * deviation * np.sqrt(2), np.float32)
