"""Tests of the corpus: sentences, the held-out end of a document, and whole documents in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.pretraining.corpus import (
    SPECIAL,
    Corpus,
    load_prepared,
    prepare,
    read_texts,
    sentences,
    split_held_out,
)
from src.errors import UserError
from tests.experiments.pretraining.conftest import VOCABULARY


def test_sentences_lose_nothing_but_spaces() -> None:
    text = 'He came at 2 p.m. on the 7th. "Is it you, Mr. Holt?" she said. "It is."\n\nCHAPTER II\n'
    text += "J. M. Barrie wrote it! Who did? Yes."
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert '"Is it you, Mr. Holt?" she said.' in found and "J. M. Barrie wrote it!" in found and "CHAPTER II" in found


def test_the_held_out_part_is_the_end_of_every_document(books: Path) -> None:
    documents = read_texts(books)
    train, tail = split_held_out(documents, 0.1)
    for text, first, last in zip(documents.values(), train, tail, strict=True):
        assert [*first, *last] == sentences(text)
        assert 0.08 < len(last) / (len(first) + len(last)) < 0.12


def test_documents_are_encoded_whole_and_in_order(books: Path, parts: tuple[Corpus, Corpus, Path]) -> None:
    from transformers import AutoTokenizer

    train, tail, folder = parts
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert [tokenizer.convert_tokens_to_ids(name) for name in SPECIAL] == list(range(5))
    for part, lines in zip((train, tail), split_held_out(read_texts(books), 0.1), strict=True):
        for number, document in enumerate(lines):
            pieces = part.tokens[part.documents[number] : part.documents[number + 1]]
            assert tokenizer.decode(pieces).replace(" ", "") == "".join(document).lower().replace(" ", "")
    again = load_prepared(prepare(books, folder.parent.parent, VOCABULARY, 0.1))
    assert again[0].digest == train.digest != tail.digest


def test_pieces_are_numbered_by_their_spelling(books: Path, tmp_path: Path) -> None:
    prepared = prepare(books, tmp_path, VOCABULARY, 0.1)
    vocabulary = json.loads((prepared / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    assert pieces[: len(SPECIAL)] == list(SPECIAL) and pieces[len(SPECIAL) :] == sorted(pieces[len(SPECIAL) :])


@pytest.mark.parametrize("text", ["", "One sentence."])
def test_texts_that_leave_a_part_empty_are_refused(tmp_path: Path, text: str) -> None:
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(text)
    with pytest.raises(UserError, match="word pieces"):
        prepare(tmp_path, tmp_path / "work", VOCABULARY, 0.1)


def test_what_cannot_be_read_is_named(books: Path, tmp_path: Path) -> None:
    for path in books.glob("*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "folder.txt").mkdir()
    assert len(read_texts(tmp_path)) == len(read_texts(books))
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"dangling\.txt"):
        read_texts(tmp_path)
