"""Pre-training: rows are what BERT's paper says, a run that goes on ends where an undisturbed one would, and it learns."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments import pretrain
from experiments.pretraining import corpus, training
from experiments.pretraining.corpus import SPECIAL, Corpus
from experiments.pretraining.embeddings import WINDOW, cooccurrences, embeddings, waves
from experiments.pretraining.examples import RANDOM, Examples, Vocabulary
from experiments.pretraining.recipe import Pace, Schedule, Shape, rate_at
from src.errors import UserError
from tests.cli.test_application import Door, refused

VOCABULARY = 200
CLS, SEP, MASK = (SPECIAL.index(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
THEMES = (
    "sea ship wave sail wind storm",
    "bread oven flour cook salt butter",
    "king court crown queen guard throne",
    "road horse cart mile hill inn",
)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four documents of sentences over four sets of words, so that a second segment tells its document."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("books")
    themes = (
        "sea ship wave sail wind storm",
        "bread oven flour cook salt butter",
        "king court crown queen guard throne",
        "road horse cart mile hill inn",
    )
    for number, theme in enumerate(themes):
        words = theme.split()
        lines = [" ".join(["the", *rng.choice(words, 5)]).capitalize() + "." for _ in range(400)]
        (folder / f"{number}.txt").write_text(
            "\n\n".join(" ".join(lines[start : start + 4]) for start in range(0, 400, 4)), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="module")
def parts(books: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus, Path]:
    return corpus.opened(corpus.prepare(books, tmp_path_factory.mktemp("work"), VOCABULARY, 0.1))


def numbered(sizes: list[list[int]]) -> Corpus:
    """Documents whose word pieces count upwards, so that a piece tells its place."""
    flat = [size for document in sizes for size in document]
    ends = np.cumsum([sum(document) for document in sizes])
    return Corpus(np.arange(len(SPECIAL), len(SPECIAL) + sum(flat)), np.cumsum([0, *flat[:-1]]), np.array([0, *ends]))


def test_sentences_lose_nothing_but_spaces() -> None:
    text = 'He came at 2 p.m. on the 7th. "Is it you, Mr. Holt?" she said. "It is."\n\nCHAPTER II\nJ. M. Barrie wrote it! Who did? Yes.'
    found = corpus.sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert '"Is it you, Mr. Holt?" she said.' in found and "J. M. Barrie wrote it!" in found and "CHAPTER II" in found


def test_the_held_out_part_is_the_end_of_every_document(books: Path) -> None:
    documents = corpus.read(books)
    train, tail = corpus.split(documents, 0.1)
    for text, first, last in zip(documents.values(), train, tail, strict=True):
        assert [*first, *last] == corpus.sentences(text)
        assert 0.08 < len(last) / (len(first) + len(last)) < 0.12


def test_documents_are_encoded_whole_and_in_order(books: Path, parts: tuple[Corpus, Corpus, Path]) -> None:
    from transformers import AutoTokenizer

    train, tail, folder = parts
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert [tokenizer.convert_tokens_to_ids(name) for name in SPECIAL] == list(range(5))
    for part, lines in zip((train, tail), corpus.split(corpus.read(books), 0.1), strict=True):
        for number, document in enumerate(lines):
            pieces = part.tokens[part.documents[number] : part.documents[number + 1]]
            assert tokenizer.decode(pieces).replace(" ", "") == "".join(document).lower().replace(" ", "")
    again = corpus.opened(corpus.prepare(books, folder.parent.parent, VOCABULARY, 0.1))
    assert again[0].digest == train.digest != tail.digest


@pytest.mark.parametrize("length", [16, 61, 128])
def test_rows_are_two_segments_of_whole_text(length: int) -> None:
    rng = np.random.default_rng(1)
    book = numbered([[int(size) for size in rng.integers(1, 40, 60)] for _ in range(3)])
    examples = Examples(book, Vocabulary.own(5000))
    drawn = examples.draw(np.random.default_rng(2), 400, length)
    ids = drawn.ids.copy()
    ids.ravel()[drawn.places] = drawn.targets
    ends = set(book.starts.tolist()) | set(book.documents.tolist())
    document = np.searchsorted(book.documents, np.arange(len(book.tokens)), side="right")
    for row, segments, random in zip(ids, drawn.segments, drawn.random, strict=True):
        middle, last = np.flatnonzero(row == SEP)
        assert row[0] == CLS and last == length - 1
        first, second = row[1:middle] - len(SPECIAL), row[middle + 1 : last] - len(SPECIAL)
        assert (
            (np.diff(first) == 1).all()
            and (np.diff(second) == 1).all()
            and min(len(first), len(second)) >= (length - 3) // 8
        )
        assert (segments == (np.arange(length) > middle)).all()
        assert first[-1] + 1 in ends and second[0] in ends
        assert (second[0] == first[-1] + 1) if random != RANDOM else (document[second[0]] != document[first[0]])
    assert 0.4 < drawn.random.mean() < 0.6


def test_masks_are_berts(parts: tuple[Corpus, Corpus, Path]) -> None:
    examples = Examples(parts[0], Vocabulary.own(VOCABULARY))
    drawn = [examples.draw(np.random.default_rng(seed), 64, 64) for seed in range(20)]
    masked = sum(len(batch.places) for batch in drawn)
    assert abs(masked / (20 * 64 * 61) - 0.15) < 0.01
    now = np.concatenate([batch.ids.ravel()[batch.places] for batch in drawn])
    then = np.concatenate([batch.targets for batch in drawn])
    assert then.min() >= len(SPECIAL)
    assert abs((now == MASK).mean() - 0.8) < 0.02
    assert abs((now == then).mean() - 0.1) < 0.02
    same, other = (examples.draw(np.random.default_rng(seed), 64, 64) for seed in (0, 1))
    assert (same.ids == drawn[0].ids).all() and (same.ids != other.ids).any()


@pytest.mark.parametrize("length", [16, 32])
def test_negatives_of_the_same_document_change_nothing_else(length: int) -> None:
    rng = np.random.default_rng(1)
    book = numbered([[int(size) for size in rng.integers(1, 12, 80)] for _ in range(3)])
    other, same = (
        Examples(book, Vocabulary.own(5000), negatives).draw(np.random.default_rng(3), 500, length)
        for negatives in ("other_document", "same_document")
    )
    assert (
        (other.random == same.random).all()
        and (other.places == same.places).all()
        and (other.segments == same.segments).all()
    )
    changed = (other.ids != same.ids).any(axis=1)
    assert (changed <= (other.random == RANDOM)).all() and changed.sum() > 200
    first = np.where(other.segments == 0, other.ids, 0)
    kept = np.isin(np.arange(other.ids.size), other.places).reshape(other.ids.shape)
    assert (np.where(kept, 0, first) == np.where(kept, 0, np.where(same.segments == 0, same.ids, 0))).all()
    ids = same.ids.copy()
    ids.ravel()[same.places] = same.targets
    document = np.searchsorted(book.documents, np.arange(len(book.tokens)), side="right")
    for row in ids[same.random == RANDOM]:
        middle, last = np.flatnonzero(row == SEP)
        a, b = row[1:middle] - len(SPECIAL), row[middle + 1 : last] - len(SPECIAL)
        assert document[a[0]] == document[b[0]] and b[0] in book.starts
        assert abs(b[0] - a[-1] - 1) >= length - 3 and not set(a) & set(b)


def test_short_documents_have_no_negatives_of_their_own() -> None:
    book = numbered([[5] * 8 for _ in range(3)])
    with pytest.raises(UserError, match="same_document"):
        Examples(book, Vocabulary.own(500), "same_document").draw(np.random.default_rng(0), 4, 19)


def test_cooccurrences_are_counted_within_documents() -> None:
    book = Corpus(np.array([5, 6, 5, 7, 8, 7]), np.array([0, 3]), np.array([0, 3, 6]))
    counts = cooccurrences(book, 9)
    assert (counts == counts.T).all()
    assert counts[5, 6] == 2 and counts[5, 5] == 2 * np.float32(1 / 2) and counts[7, 8] == 2
    assert not counts[5:7, 7:].any() and WINDOW > 3


def test_words_of_one_context_begin_near_one_another(parts: tuple[Corpus, Corpus, Path]) -> None:
    from transformers import AutoTokenizer

    train, _, folder = parts
    table = embeddings(train, VOCABULARY, 16, 0.04, 0)
    assert table.shape == (VOCABULARY, 16) and abs(table.std() - 0.04) < 0.01
    index = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    near, far = (unit[index("ship")] @ unit[index(word)] for word in ("sail", "oven"))
    assert near > far + 0.3


def test_a_shift_of_places_is_one_rotation() -> None:
    table = waves(64, 32, 0.04).astype(float)
    near = np.array([(table[place] * table[place + 3]).sum() for place in range(60)])
    assert np.allclose(near, near[0], rtol=1e-4) and abs(table.std() - 0.04) < 0.005


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10, decay=20, rate=0.5)
    rates = [rate_at(step, schedule) for step in range(100)]
    assert (
        (np.diff(rates[:10]) > 0).all()
        and set(rates[10:80]) == {0.5}
        and (np.diff(rates[80:]) < 0).all()
        and 0 < rates[-1] < 0.03
    )


TINY = Shape(layers=2, width=32, heads=2, positions=64, vocab_size=VOCABULARY)
QUICK = Schedule(steps=8, tokens=512, lengths={32: 0.5, 64: 0.5}, warmup=2, decay=2, rate=0.003)
PACE = Pace(evaluate=4, held_out_rows=64, held_out_length=32, save=2, workers=1, progress=False)


def learn(
    output: Path, parts: tuple[Corpus, Corpus, Path], schedule: Schedule, pace: Pace = PACE
) -> dict[str, torch.Tensor]:
    from transformers import AutoTokenizer

    output.mkdir(exist_ok=True)
    training.train(output, parts[:2], AutoTokenizer.from_pretrained(parts[2]), TINY, schedule, pace, device="cpu")
    return load_file(output / "state.safetensors")


def test_a_run_that_was_killed_ends_with_the_same_weights(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(tmp_path / "whole", parts, QUICK)
    draw = training.draw

    def kill(examples: Examples, schedule: Schedule, step: int, *rest: int) -> object:
        if step == 5:
            raise KeyboardInterrupt
        return draw(examples, schedule, step, *rest)

    monkeypatch.setattr(training, "draw", kill)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", parts, QUICK)
    monkeypatch.setattr(training, "draw", draw)
    cut = learn(tmp_path / "cut", parts, QUICK)
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)

    def scores(name: str) -> list[dict[str, str]]:
        with (tmp_path / name / "training.csv").open() as file:
            return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]

    assert scores("whole") == scores("cut")
    for other in ({"seed": 1}, {"objective": "mlm"}, {"negatives": "same_document"}, {"dtype": "bfloat16"}):
        with pytest.raises(UserError, match="another schedule"):
            learn(tmp_path / "cut", parts, replace(QUICK, **other))


def test_a_killed_run_with_dropout_ends_with_the_same_weights(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path]
) -> None:
    dropping = replace(QUICK, dropout=0.1, decay=1)  # the rate of a step does not depend on the last step
    whole = learn(tmp_path / "whole", parts, dropping)
    learn(tmp_path / "cut", parts, replace(dropping, steps=4))
    cut = learn(tmp_path / "cut", parts, dropping)
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    undisturbed = learn(tmp_path / "kept", parts, replace(QUICK, decay=1))
    assert any(not torch.equal(whole[name], undisturbed[name]) for name in whole)


def test_masked_words_alone_leave_the_pooler_as_it_was(tmp_path: Path, parts: tuple[Corpus, Corpus, Path]) -> None:
    words = learn(tmp_path / "words", parts, replace(QUICK, objective="mlm"))
    both = learn(tmp_path / "both", parts, QUICK)
    pieces = len(both["weight.bert.embeddings.word_embeddings.weight"])
    fresh = dict(training.build(replace(TINY, vocab_size=pieces), 0.0, 0).named_parameters())
    for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "cls.seq_relationship.weight"):
        assert torch.equal(words[f"weight.{name}"], fresh[name]) and not torch.equal(
            both[f"weight.{name}"], fresh[name]
        )
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(words[f"weight.{query}"], fresh[query])
    with (tmp_path / "words" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["nsp_accuracy"] == "" and float(row["mlm_accuracy"]) >= 0 for row in rows)
    again = learn(tmp_path / "words", parts, replace(QUICK, objective="mlm", steps=10))
    assert torch.equal(again["weight.bert.pooler.dense.weight"], fresh["bert.pooler.dense.weight"])


def test_a_training_goes_on_from_a_checkpoint(
    door: Door, books: Path, parts: tuple[Corpus, Corpus, Path], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, BertModel

    begun = training.build(replace(TINY, vocab_size=len(AutoTokenizer.from_pretrained(parts[2]))), 0.0, 7).bert
    begun.save_pretrained(tmp_path / "begun")
    AutoTokenizer.from_pretrained(parts[2]).save_pretrained(tmp_path / "begun")
    words = [
        f"text={books}", f"model.path={tmp_path}/begun", "held_out=0.1", "tracker=none", "pace.workers=1", "pace.threads=1",
        "pace.held_out_rows=32", "pace.held_out_length=32", "pace.progress=false", "schedule.lengths={128:0,256:0,64:1}",
        "schedule.tokens=256", "pace.device=cpu", "schedule.steps=2", "schedule.warmup=0", f"pace.prepared={tmp_path}/prepared",
    ]  # fmt: skip
    done = door(pretrain.main, *words, "output=out", "schedule.rate=0.0")
    assert done.status == 0, done.err
    given, kept = (dict(BertModel.from_pretrained(tmp_path / name).named_parameters()) for name in ("begun", "out"))
    assert given.keys() == kept.keys() and all(torch.equal(given[name], kept[name]) for name in given)
    moved = door(pretrain.main, *words, "output=moved", "schedule.objective=mlm", "schedule.dropout=0.1")
    assert moved.status == 0, moved.err
    learnt = dict(BertModel.from_pretrained(tmp_path / "moved").named_parameters())
    assert torch.equal(learnt["pooler.dense.weight"], given["pooler.dense.weight"])
    assert not torch.equal(learnt["embeddings.word_embeddings.weight"], given["embeddings.word_embeddings.weight"])
    refused(door(pretrain.main, *words, "output=deep", "shape.layers=2"), "shape", "model.path")
    refused(door(pretrain.main, *words, "output=long", "schedule.lengths={128:1}"), "64 positions", "schedule.lengths")


def test_training_learns_both_tasks_and_the_checkpoint_is_whole(
    tmp_path: Path, parts: tuple[Corpus, Corpus, Path]
) -> None:
    from transformers import AutoTokenizer, BertForPreTraining

    steps = 150
    learn(
        tmp_path,
        parts,
        replace(QUICK, steps=steps, tokens=1024, decay=50),
        replace(PACE, evaluate=steps, held_out_rows=256, snapshots=[4]),
    )
    with (tmp_path / "training.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    # Four themes: a piece that its theme tells is one of six, and a chance pair never shares one.
    assert float(last["nsp_accuracy"]) > 0.9 and float(last["mlm_accuracy"]) > 0.3
    for folder in (tmp_path, tmp_path / "snapshots" / "000004"):
        model, info = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size <= VOCABULARY
    held_out = Examples(parts[1], Vocabulary.own(model.config.vocab_size))
    again = training.evaluate(
        BertForPreTraining.from_pretrained(tmp_path, dtype="float32"), held_out, rows=256, length=32, device="cpu"
    )
    assert abs(again["nsp_accuracy"] - float(last["nsp_accuracy"])) < 0.02  # stored in half precision


def test_two_workers_go_on_from_the_door(door: Door, books: Path) -> None:
    words = [
        f"text={books}", "output=out", "held_out=0.1", "tracker=none", "pace.workers=2", "pace.evaluate=2", "pace.held_out_rows=32",
        "pace.held_out_length=32", "pace.progress=false", "shape.width=32", "shape.heads=2", "shape.positions=64",
        f"shape.vocab_size={VOCABULARY}", "schedule.lengths={128:0,256:0,64:1}", "schedule.tokens=256", "pace.device=cpu",
    ]  # fmt: skip
    first = door(pretrain.main, *words, "schedule.steps=2")
    assert first.status == 0, first.err
    again = door(pretrain.main, *words, "schedule.steps=4")
    assert again.status == 0 and "checkpoint: out" in again.out
    with Path("out/training.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["text is not set"]),
        (["text=nowhere"], ["nowhere", "no such folder"]),
        (["text=."], ["0 .txt files"]),
        (["text=.", "schedule.stepss=3"], ["stepss", "steps"]),
        (["text=.", "schedule.steps=0"], ["schedule.steps=0", "at least 1"]),
        (["text=.", "shape.heads=5"], ["shape.heads=5", "multiple"]),
        (["text=.", "shape.positions=64"], ["shape.positions=64"]),
        (["text=.", "held_out=1.5"], ["held_out=1.5"]),
        (["text=.", "pace.device=tpu"], ["tpu", "cpu"]),
        (["text=.", "schedule.objective=nsp"], ["schedule.objective=nsp", "mlm_nsp"]),
        (["text=.", "schedule.negatives=none"], ["schedule.negatives=none", "same_document"]),
        (["text=.", "schedule.dtype=float16"], ["schedule.dtype=float16", "bfloat16"]),
        (["text=.", "schedule.dropout=1"], ["schedule.dropout=1"]),
    ],
)
def test_refusals(door: Door, words: list[str], named: list[str]) -> None:
    refused(door(pretrain.main, "tracker=none", *words), *named)
