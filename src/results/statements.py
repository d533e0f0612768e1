"""What a checkpoint of sentence-transformers states of itself, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from src.results.result import Result

ENCODER = "SentenceTransformer"  # the kind of model that reads each text apart
USUAL_MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
READS_APART = "texts read apart"


def recorded_statements(result: Result) -> dict[str, Any]:
    """Return the statements in a record, {} if it has none."""
    model = result.provenance.get("model")
    stated = model.get("stated") if isinstance(model, Mapping) else None
    return dict(stated) if isinstance(stated, Mapping) else {}


def describe_statements(stated: Mapping[str, Any]) -> str:
    """Return what a checkpoint was made for, empty if it does not say.

    Examples
    --------
    >>> describe_statements({"modules": ["Transformer", "Pooling", "Normalize"], "pooling": ["mean"]})
    'made for mean pooling, texts read apart, unit vectors'
    """
    return ", ".join(_phrases(stated))


def _phrases(stated: Mapping[str, Any]) -> Iterator[str]:
    if pooling := stated.get("pooling"):
        yield f"made for {' and '.join(pooling)} pooling" + (", concatenated" if len(pooling) > 1 else "")
    if is_for_texts_apart(stated):
        yield READS_APART
    for dense in stated.get("dense") or []:
        yield (
            f"then a Dense layer ({dense['in']} to {dense['out']} dimensions, {dense['activation']}), "
            "which no pooling here applies"
        )
    modules = stated.get("modules") or []
    if "Normalize" in modules:
        yield "unit vectors"
    if others := [name for name in modules if name not in USUAL_MODULES]:
        yield f"with the module{'s' * (len(others) > 1)} {', '.join(others)}"
    if stated.get("max_length") is not None:
        yield f"rows of up to {stated['max_length']} word pieces"
    if stated.get("lower_case"):
        yield "texts in lower case"
    if prompts := stated.get("prompts"):
        yield f"texts after a prompt ({', '.join(prompts)}), which is not added here"


def is_for_texts_apart(stated: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint was made to encode each text by itself."""
    return bool(stated.get("pooling")) and stated.get("model_type") in (None, ENCODER)


def joint_reading_caution(stated: Mapping[str, Any], *, pairing: str, pairs: bool) -> str | None:
    """Return a caution if pairs are read together by a checkpoint made for texts apart, else None.

    Parameters
    ----------
    pairs : bool
        Whether a row of the task has two texts.
    """
    if not (pairs and pairing == "joint" and is_for_texts_apart(stated)):
        return None
    return (
        f"the checkpoint was made for {' and '.join(stated['pooling'])} pooling, {READS_APART}, and reads these pairs "
        "together; pairing=separate reads them apart."
    )


def recorded_joint_reading(result: Result) -> str | None:
    """Return `joint_reading_caution` of a record."""
    return joint_reading_caution(recorded_statements(result), pairing=result.pairing, pairs=has_pairs(result))


def has_pairs(result: Result) -> bool:
    """Return whether a row of the run's task has two texts."""
    texts = result.provenance.get("texts")
    columns: Iterable[Any] = texts.values() if isinstance(texts, Mapping) else ()
    return any(isinstance(each, list) and len(each) > 1 for each in columns)
