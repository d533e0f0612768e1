"""Plain text to flat token arrays, with a held-out end of every document and a vocabulary."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.files import make_folder
from src.errors import UserError
from src.models.checkpoint import Checkpoint
from src.models.tokenizer import load_tokenizer
from src.storage.files import DAMAGE

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A sentence ends at . ! or ? and its closing quotes before a space and a capital,
# unless a title or an initial precedes.
END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z])")
TITLES = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Rev|Col|Capt|Gen|Lieut|Sergt|Hon|Messrs|Mme|Mlle|M|No|vol|viz)|\b[A-Z])\.$"
)


@dataclass(frozen=True)
class Corpus:
    """Holds documents as one flat array of word pieces, without special tokens.

    Attributes
    ----------
    tokens : uint16 or int32 array of (tokens,)
    starts : int64 array of (sentences,)
        Where each sentence begins.
    documents : int64 array of (documents + 1,)
        Where each document begins; the last entry is the number of tokens.
    """

    tokens: np.ndarray
    starts: np.ndarray
    documents: np.ndarray

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the arrays."""
        hashed = hashlib.sha256()
        for array in (self.tokens, self.starts, self.documents):
            hashed.update(np.ascontiguousarray(array).tobytes())
        return hashed.hexdigest()


def read_texts(folder: Path) -> dict[str, str]:
    """Return the text files below a folder, by name and in the order of their names.

    Raises
    ------
    UserError
        The folder is missing, it has fewer than two text files, or one is not UTF-8.
    """
    if not folder.is_dir():
        raise UserError(f"text={folder}: no such folder. Name one of .txt files, a document each.")
    paths = sorted(path for path in folder.rglob("*.txt") if not path.is_dir())
    if len(paths) < 2:
        raise UserError(
            f"text={folder}: {len(paths)} .txt files, and at least 2 are needed: "
            "half of all second segments come from another document."
        )
    found = {}
    for path in paths:
        try:
            found[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}. Remove it, or name another text=.") from error
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path.name}: byte {error.start} is not UTF-8. Convert it, for instance with iconv -t UTF-8."
            ) from error
    return found


def sentences(text: str) -> list[str]:
    """Split a text into sentences; the end of a line ends a sentence.

    Examples
    --------
    >>> sentences('Mr. Day came in. "Well?" he said.\\n\\nIt rained.')
    ['Mr. Day came in.', '"Well?" he said.', 'It rained.']
    """
    found = []
    for line in text.splitlines():
        begin = 0
        for end in END.finditer(line):
            if not TITLES.search(line[begin : end.start()]):
                found.append(line[begin : end.end()].strip())
                begin = end.end()
        found.append(line[begin:].strip())
    return [sentence for sentence in found if sentence]


def split_held_out(documents: dict[str, str], held_out: float) -> tuple[list[list[str]], list[list[str]]]:
    """Return the sentences of every document before its last part, and those of its last part.

    `held_out` is the last part's share of the characters.
    """
    train, tail = [], []
    for text in documents.values():
        lines = sentences(text)
        ends = np.cumsum([len(line) for line in lines])
        cut = int(np.searchsorted(ends, ends[-1] * (1 - held_out))) if lines else 0
        train.append(lines[:cut])
        tail.append(lines[cut:])
    return train, tail


def train_tokenizer(documents: list[list[str]], vocab_size: int) -> Any:
    """Return a lower-casing WordPiece tokenizer like BERT's, trained on these sentences.

    The library numbers pieces of equal counts anew each time, so they are numbered by their
    spelling, after the special tokens. Where few counts decide, as in a small text, it also chooses
    other pieces.

    References
    ----------
    Devlin et al. (2019), BERT, section 3.
    google-research/bert, tokenization.py, for the splitting rules.
    """
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    lines: Iterator[str] = (line for document in documents for line in document)
    tokenizer.train_from_iterator(
        lines, vocab_size=vocab_size, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
    )
    pieces = [*SPECIAL, *sorted(tokenizer.get_vocab().keys() - set(SPECIAL))]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=True)


def encode(documents: list[list[str]], tokenizer: Any) -> Corpus:
    """Return the word pieces of all documents as flat arrays."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # some checkpoints' files fix a length
    backend.no_padding()
    pieces, starts, bounds = [], [], [0]
    offset = 0
    for document in documents:
        for row in backend.encode_batch_fast(document, add_special_tokens=False):
            if row.ids:
                pieces.append(np.asarray(row.ids, np.uint16 if len(tokenizer) <= 2**16 else np.int32))
                starts.append(offset)
                offset += len(row.ids)
        bounds.append(offset)
    if not pieces:
        raise UserError("the texts hold no word pieces, or too few for a part to be held out. Add longer documents.")
    return Corpus(np.concatenate(pieces), np.asarray(starts, np.int64), np.asarray(bounds, np.int64))


def save(corpus: Corpus, path: Path) -> None:
    """Write a corpus as an .npz file."""
    np.savez(path, tokens=corpus.tokens, starts=corpus.starts, documents=corpus.documents)


def load(path: Path) -> Corpus:
    """Return the corpus of an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        return Corpus(arrays["tokens"], arrays["starts"], arrays["documents"])


def prepare(folder: Path, work: Path, vocab_size: int, held_out: float, start: Checkpoint | None = None) -> Path:
    """Tokenise a folder of texts once; return the folder of the result, below `work`.

    Parameters
    ----------
    folder : Path
        Folder of .txt files.
    vocab_size : int
        Pieces of the tokenizer that is trained on the training part, without `start`.
    held_out : float
        Share of every document's characters, from its end.
    start : Checkpoint, optional
        Checkpoint whose tokenizer is used.
    """
    from filelock import FileLock

    documents = read_texts(folder)
    digests = text_digests(documents)
    pieces: dict[str, Any] = {"vocab_size": vocab_size} if start is None else {"tokenizer": start.tokenizer}
    recipe = json.dumps({"text": digests, "held_out": held_out, **pieces}, sort_keys=True)
    place = work / f"corpus-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    make_folder(place)
    with FileLock(place / "lock"):
        if (place / "made").is_file():
            return place
        train, tail = split_held_out(documents, held_out)
        tokenizer = train_tokenizer(train, vocab_size) if start is None else load_tokenizer(start)
        tokenizer.save_pretrained(place / "tokenizer")
        save(encode(train, tokenizer), place / "train.npz")
        save(encode(tail, tokenizer), place / "held_out.npz")
        (place / "made").write_text(recipe)
    return place


def check_share(held_out: float) -> None:
    """Raise UserError if it is no share of a document that can be held out; 1 is whole documents."""
    if not 0 < held_out <= 1:
        raise UserError(f"held_out={held_out}: a fraction above 0 is needed, or 1 for whole documents.")


def text_digests(documents: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each document by its name."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in documents.items()}


def prepared_texts(work: Path) -> list[dict[str, str]]:
    """Return the digests of the texts that `prepare` left below `work`; what cannot be read is left out."""
    found = []
    for path in sorted(work.glob("corpus-*/made")):
        try:
            found.append(dict(json.loads(path.read_text(encoding="utf-8"))["text"]))
        except DAMAGE:
            continue
    return found


def load_prepared(place: Path) -> tuple[Corpus, Corpus, Path]:
    """Return the training part, the held-out part and the tokenizer's folder of `prepare`."""
    return load(place / "train.npz"), load(place / "held_out.npz"), place / "tokenizer"
