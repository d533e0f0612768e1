"""Export a run's encoder, pooling and layer as a folder of sentence-transformers.

``python -m experiments.export record=RUN output=DIR``

The folder's embeddings are the run's features: it is read back, and compared with the suite's own
encoder, before it is put in place. The probe is not part of it, nor its standardisation.
``model.path=`` names the run's checkpoint at another place; ``model.config=`` and ``model.vocab=``
are files of `model=google` there. sentence-transformers is needed: the extra `export`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli import ModelPath, command, required
from experiments.exporting.card import model_card
from experiments.exporting.encoder import load_cut, transformer_module
from experiments.exporting.modules import check_exportable, pooling_modules, reads_all_layers
from experiments.files import writing
from src.cli.messages import print_text
from src.cli.stored_config import read_stored_config
from src.config.schema import SIMILARITIES, Config
from src.errors import UserError
from src.models.options import EncodingOptions
from src.pipeline.recorded import check_recorded, find_recorded_checkpoint
from src.pipeline.threads import resolved_threads
from src.pooling import parts_of
from src.results.result import RECORD, Result
from src.results.statements import has_pairs

if TYPE_CHECKING:
    import numpy as np

    from src.models.encoder import Encoder

LIBRARY, EXTRA = "sentence_transformers.sentence_transformer.modules", "export"
TOLERANCE = 1e-5  # largest difference of a value, relative to the largest value if that exceeds one
# Read back and compared: empty, cased, accented, of another script, with special tokens, blanks around.
SAMPLES = (
    "", "A text.", "The Cat sat on the MAT, 12.5 times!", "Ärger in São Paulo: naïve café", "日本語のテキスト",
    "[CLS] and [SEP] <s> </s> [MASK]", "  blanks \t around \n", "x" * 300,
)  # fmt: skip


@dataclass(frozen=True)
class ModelFiles(ModelPath):
    """Options of the checkpoint: its place, and files of an original TensorFlow one."""

    config: str | None = None
    vocab: str | None = None


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    record: str = required("the folder of a run")
    output: str = required("the new folder that the model goes into")
    model: ModelFiles = ModelFiles()


@command(Options)
def main(options: Options) -> None:
    """Write the folder and print how far its embeddings are from the run's features."""
    record, output = Path(options.record).expanduser(), Path(options.output).expanduser()
    record = record.parent if record.name == RECORD else record
    difference = export(
        record, output, {f"model.{key}": value for key, value in asdict(options.model).items() if value}
    )
    print_text(
        f"{output}: read back, and {len(SAMPLES) + 1} texts differ from the suite's vectors by at most "
        f"{difference:.1e}\nuse it: SentenceTransformer('{output}').encode(texts)"
    )


def export(record: Path, output: Path, places: dict[str, str] | None = None) -> float:
    """Write the sentence-transformers folder of a run, and return the largest difference that was found.

    Parameters
    ----------
    record : Path
        The run's folder.
    output : Path
        A new or empty folder. It is made when everything has been written and compared.
    places : dict of str to str, optional
        Keys of the configuration such as ``model.path``: the checkpoint at another place.

    Raises
    ------
    UserError
        The record or the checkpoint cannot be used, the pooling or the layer cannot be expressed, or
        the folder cannot be written.
    """
    result = read_run(record)
    check_output(output, record)
    check_exportable(pooling_parts(result))
    check_library()
    config = read_stored_config(record, places or {})
    with new_folder(output) as part, resolved_threads(config) as config:
        encoder, max_length = _open_encoder(config, result)
        _write_modules(part, encoder, result, max_length)
        names = {"record": record.resolve().name, "output": output.name}
        card = model_card(
            result, pooling=" and ".join(pooling_parts(result)), **names, max_length=max_length, notes=[*_notes(result)]
        )
        (part / "README.md").write_text(card, encoding="utf-8")
        return _compare(part, encoder, result, max_length)


def check_library() -> None:
    """Check that sentence-transformers is installed in a version that has its modules where they are imported from."""
    try:
        importlib.import_module(LIBRARY)
    except ImportError as error:
        raise UserError(
            "sentence-transformers is not installed, or in an old version. It comes with an extra: "
            f"pip install 'bert-pooling-probes[{EXTRA}]'."
        ) from error


def read_run(folder: Path) -> Result:
    """Return the record in a run's folder; UserError with the way out for a sweep's folder."""
    if not (folder / RECORD).is_file():
        jobs = sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
        if jobs:
            raise UserError(
                f"record={folder} holds {len(jobs)} runs. Name one of them, such as record={folder / jobs[0]}."
            )
        raise UserError(f"record={folder} is not the folder of a run: it has no {RECORD}. Name one that has.")
    return Result.read(folder)


def pooling_parts(result: Result) -> tuple[str, ...]:
    """Return the pooling of a record, or the poolings that it concatenates."""
    return parts_of(result.pooling_label)


def check_output(output: Path, record: Path) -> None:
    """Check that a folder is new or empty, no link, and outside the record."""
    if output.is_symlink():
        raise UserError(f"output={output} is a link. Name a new folder.")
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        what = "is not empty" if output.is_dir() else "is a file"
        raise UserError(f"output={output} {what}. Name a new folder.")
    if output.resolve().is_relative_to(record.resolve()):
        raise UserError(f"output={output} lies in the folder of the run. Name one outside it.")


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `output` if the block succeeds, and is removed if not.

    Raises
    ------
    UserError
        A file cannot be written.
    """
    output = Path(os.path.abspath(output))
    with writing(output):
        place = next(folder for folder in output.parents if folder.exists())
        part = place / f".{output.name}.{uuid.uuid4().hex}"
        part.mkdir()
        try:
            yield part
            output.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, output)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _open_encoder(config: Config, result: Result) -> tuple[Encoder, int]:
    """Return the suite's own encoder of the run's checkpoint, and the length of a row."""
    from src.models.encoder import Encoder

    checkpoint = find_recorded_checkpoint(config, result)
    encoder = Encoder(checkpoint, EncodingOptions(max_length=config.model.max_length))
    target = (config.pooling.label, config.layer % (encoder.layers + 1))
    check_recorded(
        result,
        checkpoint,
        max_length=encoder.info.max_length,
        **{"pooling and layer": (target, (result.pooling_label, result.layer))},
    )
    return encoder, encoder.info.max_length


def _write_modules(part: Path, encoder: Encoder, result: Result, max_length: int) -> None:
    """Write the modules of a run's encoder and pooling."""
    from sentence_transformers import SentenceTransformer

    pooling = pooling_parts(result)
    model = load_cut(encoder.checkpoint, encoder.layers if reads_all_layers(pooling) else result.layer)
    if reads_all_layers(pooling):
        model.config.output_hidden_states = True
    first = transformer_module(encoder.checkpoint, model, max_length)
    modules = [first, *pooling_modules(pooling, encoder)]
    similarity: Any = next((name for name in SIMILARITIES if name == result.chosen.get("similarity")), None)
    SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity).save(
        str(part), create_model_card=False
    )


def _notes(result: Result) -> Iterator[str]:
    """Yield what a user of the folder has to know."""
    if result.pairing == "joint" and has_pairs(result):
        yield "The score is that of pairs read together; this folder encodes each text by itself."
    features = (result.config.get("probe") or {}).get("features")
    if features not in (None, "none"):
        yield f"The read-out's own features={features} is not part of this folder."
    dtype = (result.config.get("runtime") or {}).get("dtype")
    if dtype not in (None, "float32"):
        yield f"The score was measured in {dtype}; this folder computes in float32."


def _compare(part: Path, encoder: Encoder, result: Result, max_length: int) -> float:
    """Return the largest difference between the folder's embeddings and the suite's vectors of some texts.

    Raises
    ------
    UserError
        They differ by more than rounding.
    """
    import numpy as np
    from sentence_transformers import SentenceTransformer

    texts = [*SAMPLES, "a long text of words " * max_length]
    expected = _vectors(encoder, result, texts, max_length)
    model = SentenceTransformer(str(part), device="cpu", local_files_only=True)
    found = model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        worst = texts[int(np.abs(found - expected).max(axis=1).argmax())]
        raise UserError(
            f"'{encoder.checkpoint.label}' cannot be exported: sentence-transformers encodes {worst[:40]!r} "
            f"otherwise, by {difference:.1e}. Its tokenizer or its attention is read in another way there."
        )
    return difference


def _vectors(encoder: Encoder, result: Result, texts: Sequence[str], max_length: int) -> np.ndarray:
    """Return the suite's vectors of texts, float32 (texts, width)."""
    import numpy as np
    import pyarrow as pa

    from src.models.tokenizer import Tokenizer
    from src.pooling import poolings

    tokens = Tokenizer(encoder.checkpoint, max_length)(pa.array(texts), None)
    parts = pooling_parts(result)
    rows = (encoder.forward(*tokens.batch(np.array([row]))) for row in range(len(texts)))
    pooled = ([poolings[part].pool(row, result.layer) for part in parts] for row in rows)
    return np.concatenate([np.concatenate(each, axis=1) for each in pooled])


if __name__ == "__main__":
    main()
