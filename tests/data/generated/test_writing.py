"""Generated tasks: fixed texts, no test row in train, and no label that a length or a word predicts."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from src.config.paths import CONF
from src.data.checks import check_probe
from src.data.generated import acceptability, coherence, deeds, lexicon, sentiment, similarity
from src.data.generated.draw import Draw
from src.data.generated.grammars import Grammar, Texts, grammars
from src.data.generated.writing import _new_texts, generate
from src.data.loading import load_dataset
from src.errors import UserError
from tests.helpers.datasets import option

OPTIONS = {path.stem: path for path in sorted(CONF.glob("dataset/demo_*.yaml"))}
HEADLINES = {
    "demo_sentiment": "accuracy",
    "demo_acceptability": "mcc",
    "demo_paraphrase": "f1",
    "demo_entailment": "accuracy",
    "demo_similarity": "pearson",
    "demo_coherence": "accuracy",
}
CLASSIFIED = [task for task in list(grammars) if task != "similarity"]
# First digits of the SHA-256 of all rows. A changed text changes every score that was measured on it.
DIGESTS = {
    "sentiment": "16c2946a4944bf91",
    "acceptability": "038e754555d82988",
    "paraphrase": "244a27440e933be2",
    "entailment": "25cca3b7e28c988d",
    "similarity": "dcbd550b1dbba026",
    "coherence": "c7ec0141a81f0095",
}
FUNCTION_WORDS = (
    "a an the of to in on at for with from by into upon out up down off over away towards past about and but as all "
    "some no not "
    "was were had been is be did would it her his him he she they them one two three last another every"
)

Rows = list[tuple[Texts, str]]


@lru_cache
def splits(task: str) -> dict[str, Rows]:
    generated = option(f"demo_{task}").generated
    assert generated is not None
    return generate(task, generated.seed, generated.rows)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def content_words(text: str) -> set[str]:
    return set(words(text)) - set(words(FUNCTION_WORDS))


def test_grammars_and_options_correspond() -> None:
    assert set(OPTIONS) == set(HEADLINES) == {f"demo_{task}" for task in grammars}
    for name in OPTIONS:
        found = option(name)
        assert found.generated is not None and found.name == f"demo_{found.generated.grammar}"
        assert found.metrics[0] == HEADLINES[name]
        labels = grammars[found.generated.grammar].labels
        assert found.classes == (list(labels) if found.task == "classification" else None)


@pytest.mark.parametrize("task", list(grammars))
def test_the_texts_have_their_recorded_digests(task: str) -> None:
    text = json.dumps(splits(task), ensure_ascii=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[task]


def test_choices_follow_the_published_splitmix64() -> None:
    draw = Draw()
    draw._state = 1234567
    # The first outputs of SplitMix64 from this state, scaled to 64 bits.
    assert [draw.below(1 << 64) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_choices_are_uniform_and_reproducible() -> None:
    draw = Draw("law")
    counts = np.bincount([draw.below(7) for _ in range(7000)], minlength=7)
    assert counts.min() > 880 and counts.max() < 1120
    assert sorted(draw.some("abcdef", 6)) == list("abcdef")
    assert [Draw("law", 1).below(100) for _ in range(3)] == [Draw("law", 1).below(100)] * 3
    assert len({Draw("law", seed).below(1 << 60) for seed in range(50)}) == 50


@pytest.mark.parametrize("task", list(grammars))
def test_texts_depend_on_the_seed_and_not_on_other_splits(task: str) -> None:
    few = generate(task, 0, {"train": 60, "test": 30})
    assert few == generate(task, 0, {"train": 60, "test": 30})
    assert few["train"] != generate(task, 1, {"train": 60})["train"]
    assert few["train"] == generate(task, 0, {"train": 60})["train"]


@pytest.mark.parametrize("task", list(grammars))
def test_labels_have_equal_shares(task: str) -> None:
    for rows in splits(task).values():
        counts = Counter(label for _, label in rows)
        assert set(counts) == set(grammars[task].labels)
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("task", list(grammars))
def test_no_two_rows_have_the_same_words_in_any_order(task: str) -> None:
    rows = [tuple(sorted(words(" ".join(texts)))) for split in splits(task).values() for texts, _ in split]
    assert len(set(rows)) == len(rows) == 5500


@pytest.mark.parametrize("task", list(grammars))
def test_every_word_of_test_occurs_in_train(task: str) -> None:
    seen, met = (
        {word for texts, _ in splits(task)[name] for text in texts for word in words(text)}
        for name in ("train", "test")
    )
    assert met <= seen
    assert 100 < len(seen) < 800


@pytest.mark.parametrize("task", list(grammars))
def test_texts_are_written_as_sentences(task: str) -> None:
    for texts, _ in [row for split in splits(task).values() for row in split]:
        for text in texts:
            assert re.fullmatch(r"[A-Z][A-Za-z',; ]*[a-z]\.", text), text
            assert "  " not in text and " ," not in text and " ;" not in text
            wrong = re.search(r"\ban (?!hour)[^aeiou]|\ba [aeiou]", text)
            assert task == "acceptability" or wrong is None, text


def _shares(task: str) -> tuple[list[Texts], np.ndarray]:
    rows = splits(task)["train"]
    labels = grammars[task].labels
    return [texts for texts, _ in rows], np.array([labels.index(label) for _, label in rows])


def _best_split(values: np.ndarray, label: np.ndarray) -> float:
    """Return the accuracy of the best rule with one class up to a threshold and one above it."""
    classes = np.eye(label.max() + 1)[label][np.argsort(values, kind="stable")]
    below = np.cumsum(classes, axis=0)
    ends = np.flatnonzero(np.append(np.diff(np.sort(values)) > 0, True))
    return float((below.max(axis=1) + (below[-1] - below).max(axis=1))[ends].max() / len(label))


def test_the_threshold_rule_finds_a_perfect_split_and_no_more() -> None:
    assert _best_split(np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])) == 1
    assert _best_split(np.array([1, 1, 1, 1]), np.array([0, 1, 0, 1])) == 0.5


@pytest.mark.parametrize("task", CLASSIFIED)
@pytest.mark.parametrize("length", [len, lambda text: len(words(text))], ids=["characters", "words"])
def test_lengths_do_not_predict_the_label(task: str, length: Callable[[str], int]) -> None:
    texts, label = _shares(task)
    lengths = np.array([[length(text) for text in row] for row in texts])
    constant = np.bincount(label).max() / len(label)
    for values in (*lengths.T, lengths.sum(axis=1), lengths[:, 0] - lengths[:, -1]):
        assert _best_split(values, label) < constant + 0.1


@pytest.mark.parametrize("task", CLASSIFIED)
def test_single_words_do_not_predict_the_label(task: str) -> None:
    texts, label = _shares(task)
    constant = np.bincount(label).max() / len(label)
    for side in range(len(texts[0])):
        bags = [set(words(row[side])) for row in texts]
        for word in set().union(*bags):
            has = np.array([word in bag for bag in bags], dtype=np.int64)
            assert _best_split(has, label) < constant + 0.1, word


@pytest.mark.parametrize("task", CLASSIFIED)
def test_a_bag_of_words_stays_near_chance(task: str) -> None:
    """Words of either text, and words that both share except in the task that compares names."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counts, labels = {}, {}
    vectorizer = CountVectorizer(analyzer=words).fit([text for texts, _ in splits(task)["train"] for text in texts])
    for name, rows in splits(task).items():
        sides = [vectorizer.transform(side) for side in zip(*(texts for texts, _ in rows), strict=True)]
        if len(sides) == 2 and task != "paraphrase":
            sides += [abs(sides[0] - sides[1]), sides[0].multiply(sides[1])]
        counts[name], labels[name] = hstack(sides).tocsr(), [label for _, label in rows]
    score = (
        LogisticRegression(C=0.1, max_iter=200)
        .fit(counts["train"], labels["train"])
        .score(counts["test"], labels["test"])
    )
    assert score < 1 / len(set(labels["test"])) + 0.15


def test_judging_words_are_balanced_over_labels() -> None:
    praised: dict[str, list[bool]] = {}
    judging = {word for _, praise, blame in sentiment.KINDS for word in (*praise, *blame)}
    for (text,), label in splits("sentiment")["train"]:
        for word in judging & set(words(text)):
            praised.setdefault(word, []).append(label == "positive")
    assert set(praised) == judging
    assert all(0.3 < np.mean(labels) < 0.7 for labels in praised.values() if len(labels) >= 100)


@pytest.mark.parametrize("clause", dict.fromkeys(acceptability.CLAUSES), ids=lambda clause: clause.__name__)
def test_words_are_as_common_in_correct_as_in_wrong_clauses(clause: acceptability.Clause) -> None:
    counts = []
    for correct in (True, False):
        draw = Draw("clause")
        counts.append(Counter(word for _ in range(3000) for word in words(clause(draw, correct))))
    for word in counts[0] | counts[1]:
        low, high = sorted((counts[0][word], counts[1][word]))
        assert high - low < 6 * np.sqrt(high + 1), word
    draws = [Draw("clause", number) for number in range(200)]
    same = sum(clause(draws[number], True) == clause(Draw("clause", number), False) for number in range(200))
    assert same == 0


def test_phrases_of_a_scene_share_no_content_word() -> None:
    for scene in coherence.SCENES:
        phrases = [content_words(phrase) for phrase in (*scene.acts, *scene.events)]
        shared = [word for word, count in Counter(word for phrase in phrases for word in phrase).items() if count > 1]
        assert not shared, shared
        assert len(scene.acts) >= 10 and len(scene.events) >= 6


def test_wordings_of_a_deed_share_no_content_word() -> None:
    for theme in deeds.DEEDS:
        assert len(theme) == 5
        for first, second in theme:
            assert not content_words(f"{first.base} {first.past}") & content_words(f"{second.base} {second.past}"), (
                first
            )
            assert deeds.reworded(first) == second and deeds.reworded(second) == first


def test_the_score_is_the_number_of_slots_shared() -> None:
    meaning = {
        wording: (slot, number)
        for slot, concepts in similarity.SLOTS.items()
        for number, concept in enumerate(concepts)
        for wording in concept
    }
    phrases = re.compile("|".join(sorted(map(re.escape, meaning), key=len, reverse=True)))
    for texts, label in splits("similarity")["test"]:
        first, second = ({meaning[phrase] for phrase in phrases.findall(text[0].lower() + text[1:])} for text in texts)
        assert len(first) == len(second) == 5
        assert len(first & second) == int(label)


def test_names_of_men_and_women_do_not_overlap() -> None:
    assert not set(lexicon.MEN) & set(lexicon.WOMEN)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_loads_without_hub_or_folder(name: str) -> None:
    read = load_dataset(option(name), data_root="/nonexistent")
    assert (len(read.train), len(read.test)) == (4000, 1500)
    assert read.test_in_train() == 0
    task = name.removeprefix("demo_")
    assert read.source == {"from": "generated", "path": task, "revision": None, "files": {}, "seed": 0}
    rows = splits(task)["test"]
    assert read.test.text.to_pylist() == [texts[0] for texts, _ in rows]
    assert (read.test.text_pair is None) == (len(rows[0][0]) == 1)
    found = read.test.label.tolist()
    assert found == [float(label) if not read.classes else read.classes.index(label) for _, label in rows]
    check_probe(read)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("sentimant", {"train": 4}, "did you mean 'sentiment'"),
        ("sentiment", {"train": 4, "test": 0}, r"rows\.test=0: at least 1"),
    ],
)
def test_an_unknown_grammar_and_an_empty_split_are_refused(name: str, rows: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(name, 0, rows)


def test_an_exhausted_grammar_is_an_error() -> None:
    found = Grammar(("yes",), lambda draw, label: (draw.pick(("one", "two", "three")),))
    seen: set[tuple[str, ...]] = set()
    with pytest.raises(UserError, match="no more than about 3 texts"):
        for _ in range(4):
            _new_texts(found, "count", Draw(), "yes", seen)


def test_the_number_of_rows_is_limited() -> None:
    with pytest.raises(UserError, match="at most 100,000"):
        generate("sentiment", 0, {"train": 10**8})
