"""A checkpoint as files: its folder, its identity and what its configuration says. No torch,
so a run whose features are stored stays quick.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from src.config.schema import ModelConfig
from src.errors import UserError, flatten
from src.models.weights import Shapes, read_shapes
from src.registry import unknown
from src.storage.files import Unreadable, open_regular, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from src.models.tensorflow.original import Original

EMBEDDED = "embedded:"  # before the name of a checkpoint that comes with the suite
SHELF = Path(__file__).resolve().parents[1] / "embedded"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
WEIGHTS_KEY = "transformers_weights"  # of config.json: a file of the folder in place of model.safetensors
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
    "spiece.model", "sentencepiece.bpe.model", "spm.model",
    # Named by fewer of transformers' tokenizer classes:
    "bpe.codes", "tokenizer.model", "sentencepiece.model", "spm_char.model", "source.spm", "target.spm", "tekken.json", "tiktoken.model",
    "prophetnet.tokenizer", "vocab-src.json", "vocab-tgt.json", "target_vocab.json", "entity_vocab.json", "normalizer.json", "emoji.json",
    "byte_maps.json", "word_shape.json", "word_pronunciation.json",
)  # fmt: skip
ADAPTER = "adapter_config.json"
PATTERNS = [
    "config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    ADAPTER,
    *TOKENIZER,
]  # what is fetched of a hub id
VOCABULARY = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model",
    "sentencepiece.model", "tekken.json", "tiktoken.model",
)  # fmt: skip

# Keys of config.json that move no number: the library is not given them either.
HARMLESS = frozenset(
    {
        "_name_or_path", "_commit_hash", "_num_labels", "_attn_implementation_autoset", "_attn_implementation_internal",
        "_experts_implementation_internal", "transformers_version", "transformers.js_config",
    }
)  # fmt: skip
# Keys of config.json, at any depth, that name other files or change how weights are read: what they ask for, and the way out.
REDIRECTIONS = {
    WEIGHTS_KEY: (
        "weights that are no safetensors file of the folder",
        "Rename them to model.safetensors and remove the key",
    ),
    "configuration_files": (
        "other configurations by version",
        "Keep the one that is meant as config.json and remove the key",
    ),
    "quantization_config": ("quantised weights", "Save the model in float16 or float32"),
    "compression_config": ("compressed weights", "Save the model in float16 or float32"),
    "fusion_config": ("fused layers", "Remove the key"),
    "distributed_config": ("distributed weights", "Save the model in one file and remove the key"),
}
ATTENTION = (
    None,
    "eager",
    "sdpa",
    "flash_attention_2",
    "flash_attention_3",
    "flex_attention",
)  # others are code from the hub
MOST_LAYERS = 1000
LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
LARGEST = 1 << 20  # of a whole number in config.json that may size something: more than any vocabulary
LONGEST = 1 << 31  # of a number of positions; what they size is held against the weights
LONG = ("position", "length", "seq", "window", "context", "ctx")
UNSIZED = ("theta", "base", "seed")  # in names of numbers that size nothing


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the Hugging Face layout, and the digests that identify it wherever it lies."""

    folder: Path
    label: str  # hub id, or the folder's last name
    commit: str | None  # what a hub revision resolved to
    weights: dict[str, str]  # file name: SHA-256
    tokenizer: dict[str, str]
    config: dict[str, Any]  # config.json as it stands
    lower_case: bool | None = None  # what model.do_lower_case asks; None: what the tokenizer's files say
    original: Original | None = None  # TensorFlow's, which its own reader loads; None in the Hugging Face layout

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the hidden states of given token ids."""
        return {
            "weights": self.weights,
            "config": {key: value for key, value in self.config.items() if key not in HARMLESS},
        }

    @property
    def tokenisation(self) -> dict[str, Any]:
        """What decides the word pieces of a text: the tokenizer's files, and the class that config.json states where it is not BERT's."""
        named = ("model_type", "tokenizer_class", "model_name")
        stated = {name: self.config[name] for name in named if self.config.get(name) is not None}
        return self.tokenizer if stated == {"model_type": "bert"} else {**self.tokenizer, "class": stated}

    def view(self) -> Path:
        """A folder of links to the digested files alone, kept as long as the process, so that the library finds nothing else to open.

        Its config.json and tokenizer_config.json are written from the checked ones, without what could lead elsewhere.

        Raises
        ------
        UserError
            A file has changed since it was digested, or no temporary folder can be made.
        """
        digests = {**self.weights, **{name: digest for name, digest in self.tokenizer.items() if name in TOKENIZER}}
        changed = [name for name, digest in digests.items() if sha256(self.folder / name) != digest]
        if changed:
            raise UserError(f"{changed[0]} of '{self.label}' has changed since this run began. Start the run again.")
        content = json.dumps([str(self.folder.resolve()), digests, self.config], sort_keys=True)
        try:
            folder = _scratch(os.getpid()) / hashlib.sha256(content.encode()).hexdigest()[:16]
            if not folder.is_dir():
                self._fill(folder, digests)
        except OSError as error:
            raise UserError(
                f"no temporary folder can be made: {flatten(error, 160)}. Set TMPDIR to one that has room."
            ) from error
        return folder

    def _fill(self, folder: Path, digests: dict[str, str]) -> None:
        places = {}
        if list(self.weights) != [WEIGHTS[0]]:  # read first: a damaged file leaves no folder behind
            places = {tensor: name for name, shapes in self.shapes().items() for tensor in shapes}
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        dropped = {
            *HARMLESS,
            WEIGHTS_KEY,
            "use_return_dict",
        }  # the last is the library's own answer, which it refuses to be told
        (part / "config.json").write_text(
            json.dumps({key: value for key, value in self.config.items() if key not in dropped})
        )
        for name in digests:
            source = (self.folder / name).resolve()
            if name == TOKENIZER_CONFIG:
                stated = _tokenizer_config(self.folder, self.label, self.tokenizer)
                (part / name).write_text(
                    json.dumps({key: value for key, value in stated.items() if not _names_a_file(key)})
                )
                continue
            try:
                (part / name).symlink_to(source)
            except OSError:  # a system without links
                shutil.copyfile(source, part / name)
        if places:
            (part / WEIGHTS[1]).write_text(json.dumps({"metadata": {}, "weight_map": places}))
        part.rename(folder)

    def shapes(self) -> dict[str, Shapes]:
        """Shapes of the weights by their files' headers, {file name: {weight: shape}}; UserError for a damaged file."""
        found: dict[str, Shapes] = {}
        for name in self.weights:
            try:
                found[name] = read_shapes(self.folder / name)
            except (OSError, Unreadable) as error:
                raise UserError(
                    f"'{self.label}' cannot be loaded: {name} cannot be read ({flatten(error, 120)}).\n"
                    "The file may be damaged or cut short: get it again."
                ) from error
        return found


def find(config: ModelConfig) -> Checkpoint:
    """Resolve a hub id or a folder to a `Checkpoint`; a hub id is downloaded (configuration, tokenizer,
    safetensors) or taken from the hub's cache.

    Raises
    ------
    UserError
        No model named, no such folder, a folder that is no model, weights that are not safetensors, a hub that cannot be reached.
    """
    if config.format == "tensorflow":
        from src.models.tensorflow import original

        return original.find(config)
    if not config.path:
        raise UserError(
            "no model is named. Use model=checkpoint model.path=<hub id or folder>, or one by name: model=bert-base-uncased."
        )
    folder = shelved(config.path) if config.path.startswith(EMBEDDED) else Path(config.path).expanduser()
    commit = None
    label = folder.resolve().name
    if folder.is_dir() and config.revision is not None:
        raise UserError(
            f"model.revision={config.revision}: model.path={config.path} is a folder here, and a folder has no revision. "
            "Set model.revision=null, or give model.path a hub id."
        )
    if not folder.is_dir():
        if looks_like_path(config.path):
            raise UserError(
                f"model.path={config.path}: no such folder. Give a folder that holds config.json and model.safetensors, "
                "or a hub id such as google-bert/bert-base-uncased."
            )
        from src.runtime import hub

        label = config.path
        folder, commit = hub.snapshot(config.path, config.revision, PATTERNS)
        if config.revision is None and not any((folder / name).is_file() for name in WEIGHTS):
            if reference := hub.conversion(config.path):
                folder, commit = hub.snapshot(config.path, reference, PATTERNS)
            else:
                raise UserError(
                    f"model.path={config.path} has no safetensors weights on its main branch, and pickles are not loaded. "
                    "Name a revision that has them in model.revision (often refs/pr/1), or choose another checkpoint."
                )
    settings = _read_config(folder, config.path)
    if (folder / ADAPTER).exists():
        raise UserError(
            f"model.path={config.path} holds an adapter ({ADAPTER}), and adapters are not applied. Merge it into its model "
            "(merge_and_unload), and save that in a folder of its own."
        )
    weights = [folder / settings[WEIGHTS_KEY]] if settings.get(WEIGHTS_KEY) else _weight_files(folder, config.path)
    if not any((folder / name).is_file() for name in VOCABULARY):  # the library would make an empty one up
        raise UserError(
            f"model.path={config.path} holds no tokenizer: one of {', '.join(VOCABULARY)} is needed beside the weights."
        )
    if odd := next((name for name in TOKENIZER if (folder / name).exists() and not (folder / name).is_file()), None):
        raise UserError(f"model.path={config.path}: {odd} is no regular file. Get the checkpoint again.")
    tokenizer = {name: sha256(folder / name) for name in TOKENIZER if (folder / name).is_file()}
    _tokenizer_config(folder, config.path, tokenizer)
    casing = {} if config.do_lower_case is None else {"model.do_lower_case": str(config.do_lower_case).lower()}
    return Checkpoint(
        folder=folder,
        label=label,
        commit=commit,
        weights={path.name: sha256(path) for path in weights},
        tokenizer=tokenizer | casing,
        config=settings,
        lower_case=config.do_lower_case,
    )


def shelved(path: str) -> Path:
    """Folder of a checkpoint that comes with the suite; UserError for a name that is not there."""
    known = sorted(place.name for place in SHELF.glob("*") if (place / "config.json").is_file())
    name = path.removeprefix(EMBEDDED)
    if name not in known:
        raise unknown("embedded checkpoint", name, known)
    return SHELF / name


def is_remote(config: ModelConfig) -> bool:
    """Whether a model is to be fetched from the hub, or from the hub's cache."""
    from src.runtime import hub

    path = config.path or ""
    return (
        config.format == "huggingface"
        and bool(hub.REPOSITORY.fullmatch(path))
        and not Path(path).is_dir()
        and not looks_like_path(path)
    )


def looks_like_path(text: str) -> bool:
    """Whether a `model.path` can only be meant as a folder: the hub's ids are `name` or `owner/name`."""
    return text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text or Path(text).exists()


def _read_config(folder: Path, given: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        if any(folder.glob("*.index")) or (folder / "saved_model.pb").is_file():
            raise UserError(
                f"model.path={given} is in TensorFlow's format: model=google reads that (original BERT checkpoints and modules)."
            )
        raise UserError(
            f"model.path={given} is no model: it holds no config.json. Give a folder written by save_pretrained, or a hub id."
        )
    settings = _json(path, given)
    if not isinstance(settings.get("model_type"), str):
        raise UserError(
            f"model.path={given}: config.json names no model_type. Give a folder written by save_pretrained, or a hub id."
        )
    named = settings.get(WEIGHTS_KEY)
    own = (
        isinstance(named, str)
        and Path(named).name == named
        and named.endswith(".safetensors")
        and (folder / named).is_file()
    )
    for key, value in _leaves({key: value for key, value in settings.items() if key != WEIGHTS_KEY or not own}):
        if key in REDIRECTIONS and value not in (None, "", {}, []):
            what, way = REDIRECTIONS[key]
            raise UserError(
                f"model.path={given}: config.json asks for {what} ({key}), and that is not supported. {way}."
            )
    for key in ("attn_implementation", "_attn_implementation"):
        if settings.get(key) not in ATTENTION:
            raise UserError(
                f"model.path={given}: config.json says {key}={settings[key]!s:.40}. Remove the key, and set runtime.attention to one of "
                f"{', '.join(filter(None, ATTENTION))} if need be."
            )
    _check_numbers(settings, given)
    return settings


def _json(path: Path, given: str) -> dict[str, Any]:
    """The object in a checkpoint's JSON file; UserError for anything else."""
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise Unreadable("it holds no mapping of names to values")
    except (OSError, Unreadable) as error:
        raise UserError(
            f"model.path={given}: {path.name} cannot be read ({flatten(error, 120)}). Get the file again."
        ) from error
    return found


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of an object with its value, at any depth; the members of a list stand under the list's key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)):
                yield from _leaves(inner, key)
            else:
                yield key, inner


def _check_numbers(settings: dict[str, Any], given: str) -> None:
    """Refuse whole numbers that no model has: the library would build lists and layers of that size before it asks for their weights."""
    for key, value in _leaves(
        {name: value for name, value in settings.items() if name not in ("id2label", "label2id")}
    ):
        if type(value) is not int:
            continue
        low, high = -LONGEST, LARGEST
        if any(part in key for part in UNSIZED) or key.endswith(("_id", "_ids")):
            continue
        if key in LAYERS:
            low, high = 1, MOST_LAYERS
        elif key in HEADS:
            low = 1
        elif key.startswith(("n_", "num_")) or key.endswith(("_size", "_dim", "_heads", "_layers", "_groups")):
            low = 0
        elif any(part in key for part in LONG):
            low, high = -1, LONGEST
        if not low <= value <= high:
            raise UserError(
                f"model.path={given} cannot be loaded: its config.json says {key}={value!s:.40}, and {low} to {high} are possible. "
                "Get the file again."
            )


def _names_a_file(key: str) -> bool:
    """Whether a key of tokenizer_config.json names a file where the tokenizer was saved: none is opened by that name."""
    return key.endswith("_file") or key == "name_or_path"


def _tokenizer_config(folder: Path, given: str, tokenizer: dict[str, str]) -> dict[str, Any]:
    """What tokenizer_config.json says, {} without one; UserError where it would have other files opened than the folder's own."""
    if TOKENIZER_CONFIG not in tokenizer:
        return {}
    stated = _json(folder / TOKENIZER_CONFIG, given)
    elsewhere = [
        "vocab" if isinstance(stated.get("vocab"), str) else "",
        "merges" if isinstance(stated.get("merges"), str) else "",
    ]
    elsewhere += [key for key in ("init_inputs", "fast_tokenizer_files") if stated.get(key)]
    for key, value in stated.items():
        # Saved beside every tokenizer, and not read by the library.
        if (
            key.endswith("_file")
            and key not in ("special_tokens_map_file", "tokenizer_file")
            and isinstance(value, str)
        ):
            own = folder / Path(value).name
            if own.name not in tokenizer or (Path(value).is_file() and not Path(value).samefile(own)):
                elsewhere.append(key)
        if (
            key.endswith(("_kwargs", "_option", "_dic", "_dir", "_path"))
            and key != "name_or_path"
            and any(isinstance(inner, str) and ("/" in inner or "\\" in inner) for _, inner in _leaves([value]))
        ):
            elsewhere.append(key)
    if named := next(filter(None, elsewhere), None):
        raise UserError(
            f"model.path={given}: {TOKENIZER_CONFIG} has other files opened than this folder's own ({named}={stated[named]!s:.60}). "
            "Copy them here under the names that their tokenizer has for them, and remove the key."
        )
    return stated


def _weight_files(folder: Path, given: str) -> list[Path]:
    """The safetensors files of a checkpoint, checked against its index where there is one."""
    single, index = (folder / name for name in WEIGHTS)
    if single.is_file():
        return [single]
    if odd := next((path for path in (single, index) if path.exists() and not path.is_file()), None):
        raise UserError(f"model.path={given}: {odd.name} is no regular file. Get the checkpoint again.")
    if index.is_file():
        places = _json(index, given).get("weight_map")
        if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
            raise UserError(
                f"model.path={given}: {index.name} cannot be read (no weight_map of names to files). Get the file again."
            )
        names = sorted(set(places.values()))
        for name in names:
            if Path(name).name != name or not (folder / name).is_file():
                raise UserError(f"model.path={given}: {name}, named by {index.name}, is missing.")
            if not name.endswith(".safetensors"):
                raise UserError(
                    f"model.path={given}: {name}, named by {index.name}, is not in the safetensors format. Convert the model."
                )
        return [folder / name for name in names]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    reason = f"{pickles[0]} is a pickle, which is not loaded" if pickles else "there is no model.safetensors"
    raise UserError(
        f"model.path={given} holds no weights that can be used: {reason}. Convert it with save_pretrained (transformers "
        "writes safetensors), or choose another checkpoint or model.revision."
    )


def sha256(path: Path) -> str:
    """Digest of a file's content; UserError for one that cannot be read."""
    try:
        state = path.stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {flatten(error, 160)}.") from error


@lru_cache(maxsize=64)
def _digest(path: Path, modified: int, size: int) -> str:
    """SHA-256 of a file, once per process for each state of it: a sweep asks for every job."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _scratch(process: int) -> Path:
    """A temporary folder of this process, removed when it ends; a forked process makes its own."""
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
