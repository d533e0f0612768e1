"""What the store withstands: ``python -m tests.stress [part=all|kills|crowd|memory|damage|disk] [kills=20] [rows=600000]``.

Each check calls the doors as a user does, in processes of their own on a store of its own, with a small BERT of random weights and
synthetic sentences, and prints a line with its figures and ``ok`` or ``FAILED``; the exit status is 1 if any failed.

``kills`` is how often an extraction is killed, ``pass_rows`` how many rows it has; ``rows`` is the size whose peak memory is compared
with that of a tenth of it; ``crowd_rows`` is the size for processes at once and for damage; ``disk`` is the small disk in MB;
``seed`` draws the moments and the bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.cli import command
from src.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
WORDS = 2000
WIDTH, LAYERS = 32, 2
GROWTH = 300  # MB that ten times the rows may add
POOLINGS = ("cls", "pooler", "mean", "max")
POLL = 0.002  # seconds between two looks at the store


@dataclass
class Ended:
    """A finished process: its exit status, what it printed, its wall seconds and peak memory in MB."""

    status: int
    out: str
    error: str
    seconds: float
    peak: float


@dataclass
class Door:
    """A call of a door, running; its output goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.perf_counter)

    def kill(self) -> None:
        """SIGKILL, not by `Popen.kill`, which would collect a process that has ended."""
        os.kill(self.process.pid, signal.SIGKILL)

    def ended(self) -> Ended:
        """Wait for the end."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - self.began
        out, error = (
            self.log.with_suffix(end).read_text(encoding="utf-8", errors="replace") for end in (".out", ".err")
        )
        return Ended(
            self.process.returncode,
            out,
            error,
            seconds,
            usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2),
        )

    def running(self) -> bool:
        """Whether it runs still; does not collect it, so that `ended` can read what it used."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


class Bench:
    """A folder with a model and sentences, and the doors called on them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.model = make_model(folder / "model")
        self.failures = 0
        self._calls = 0

    def sentences(self, rows: int) -> Path:
        """A CSV file of `rows` sentences of about ten words and labels of two classes; the same rows for the same count."""
        path = self.folder / f"{rows}.csv"
        if not path.exists():
            rng = np.random.default_rng(rows)
            words = np.array(vocabulary()[5:])
            with path.open("w", encoding="utf-8") as file:
                file.write("text,label\n")
                for length, label in zip(rng.integers(4, 17, rows), rng.integers(0, 2, rows), strict=True):
                    file.write(f"{' '.join(words[rng.integers(0, WORDS, length)])},{label}\n")
        return path

    def new(self, name: str) -> Path:
        """The path of an empty folder, or of none yet."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def call(self, door: str, store: Path, *words: str) -> Door:
        """Start `python -m src.<door>` on a store."""
        self._calls += 1
        log = self.folder / f"call-{self._calls}"
        command = [
            sys.executable, "-m", f"src.{door}", "dataset=files", f"model.path={self.model}", f"runtime.cache_dir={store}",
            "tracker=none", f"hydra.run.dir={log}", *words,
        ]  # fmt: skip
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as error:
            return Door(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=error), log)

    def extract(self, rows: int, store: Path, output: Path, *words: str) -> Door:
        return self.call("extract", store, f"dataset.train={self.sentences(rows)}", f"output={output}", *words)

    def run(self, rows: int, store: Path, *words: str) -> Door:
        files = (f"dataset.train={self.sentences(rows)}", f"dataset.test={self.sentences(max(rows // 10, 1000))}")
        return self.call("run", store, *files, *words)

    def whole(self, rows: int) -> str:
        """Digest of the features that an undisturbed extraction on a fresh store writes."""
        store, output = self.new("store"), self.new("whole")
        sound(self.extract(rows, store, output).ended())
        return features_digest(output)

    def report(self, name: str, good: bool, figures: str) -> None:
        self.failures += not good
        print(f"{name}: {figures}  {'ok' if good else 'FAILED'}", flush=True)


def vocabulary() -> list[str]:
    """Special tokens and synthetic words of two to four syllables, of which every third is a word's end."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    rng = np.random.default_rng(0)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words["".join(rng.choice(syllables, rng.integers(2, 5)))] = None
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]


def make_model(folder: Path) -> Path:
    """A BERT of two layers and width 32 with random weights and a WordPiece vocabulary, in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    pieces = vocabulary()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(pieces), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=2 * WIDTH,
            max_position_embeddings=64,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)  # a pooler whose bias is zero would count as untrained
    model.save_pretrained(folder)
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def features_digest(output: Path) -> str:
    """SHA-256 of the features that were written, or why there are none."""
    path = output / "train.safetensors"
    if not path.is_file():
        return "no features"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sound(ended: Ended) -> Ended:
    """The process that ended, which has to have ended well."""
    if ended.status:
        raise UserError(f"a call that nothing disturbed ended with status {ended.status}: {ended.error.strip()[-300:]}")
    return ended


def said_clearly(ended: Ended) -> bool:
    """Whether a refusal is what a user should see: status 1, one to three lines that begin with `error:`, no traceback."""
    lines = ended.error.strip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("error: ")), None)
    return ended.status == 1 and first is not None and len(lines) - first <= 3 and "Traceback" not in ended.error


def complaint(ended: Ended) -> str:
    """The error as it was printed, in one line; the end of what was printed where there is none."""
    start = ended.error.find("error: ")
    return " ".join((ended.error[start:] if start >= 0 else ended.error[-300:]).split())[:300]


# Kills -------------------------------------------------------------------------------------------------------------------------------


def shards(store: Path) -> int:
    """Finished shards of the pass that is under way."""
    return sum(1 for _ in store.glob("partial/*/*.npy"))


def is_writing(store: Path) -> bool:
    """Whether values are being put together from the shards."""
    return any(store.glob("tmp/*/values.npy"))


def is_written(store: Path) -> bool:
    """Whether a value of the pass is there; the first is there when all have been put together."""
    return any(store.glob("features/*/*/values.npy"))


@dataclass
class Course:
    """What an undisturbed pass looks like from outside: shards in all, seconds until they are done, seconds in which values are written."""

    shards: int
    encoding: float
    writing: float


def watch(door: Door, store: Path) -> Course:
    """Follow a pass from its first shard to its first value."""
    began = writing = written = None
    most = 0
    while door.running():
        now = time.perf_counter()
        most = max(most, shards(store))
        began = began or (now if most else None)
        writing = writing or (now if is_writing(store) else None)
        written = written or (now if is_written(store) else None)
        time.sleep(POLL)
    if began is None or writing is None or written is None:
        sound(door.ended())
        raise UserError("the pass was too short to be seen: give more pass_rows.")
    return Course(most, writing - began, written - writing)


def kill_at(door: Door, store: Path, moment: float, course: Course) -> bool:
    """Kill when the pass has come to `moment`: so many shards, then a share of the writing. False if it ended before."""
    target = int(moment)
    at_start = shards(store)
    while door.running() and not (shards(store) > max(at_start, target - 1) or is_writing(store)):
        time.sleep(POLL)
    time.sleep((moment - target) * (course.writing if target == course.shards else course.encoding / course.shards))
    alive = door.running()
    door.kill()
    return alive


def kills(bench: Bench, rows: int, count: int) -> None:
    """Killed again and again, a pass goes on from its finished shards and ends in the same bits."""
    store, output = bench.new("store"), bench.new("output")
    door = bench.extract(rows, store, output)
    course = watch(door, store)
    undisturbed = sound(door.ended())
    expected = features_digest(output)
    print(
        f"kills: undisturbed, {rows:,} rows: {course.shards} shards in {course.encoding:.1f} s, written in {course.writing:.1f} s; "
        f"the whole command {undisturbed.seconds:.1f} s",
        flush=True,
    )
    store, output = bench.new("store"), bench.new("output")
    at_end = max(1, count // 10)  # the writing is short: it gets its kills whatever is drawn
    moments = [
        *bench.rng.uniform(0, course.shards, count - at_end),
        *(course.shards + bench.rng.uniform(0, 0.6, at_end)),
    ]
    found, late = [], 0
    for moment in sorted(moments):
        found.append(course.shards if is_written(store) else shards(store))
        door = bench.extract(rows, store, output)
        if not kill_at(door, store, float(moment), course):
            sound(door.ended())
            late += 1
        else:
            door.ended()
    found.append(course.shards if is_written(store) else shards(store))
    left = [path.name for path in store.glob("tmp/*")]
    last = sound(bench.extract(rows, store, output).ended())
    grew = found == sorted(found) and found[-1] > found[0]
    same = features_digest(output) == expected
    bench.report(
        "kills",
        grew and same and late <= at_end,
        f"{count}, {at_end} of them while values were written{f', {late} after the end' if late else ''}; "
        f"shards at each start {' '.join(map(str, found))} of {course.shards}; last run {last.seconds:.1f} s; "
        f"features {'bit-identical' if same else 'DIFFER'} ({expected[:12]})",
    )
    after = [str(path.relative_to(store)) for kind in ("tmp", "partial") for path in store.glob(f"{kind}/*")]
    rest = ", ".join(after[:3]) or "nothing"
    bench.report("kills", not after, f"{len(left)} half-written values when killed last, left over at the end: {rest}")


# Crowd -------------------------------------------------------------------------------------------------------------------------------


def crowd(bench: Bench, rows: int) -> None:
    """Four processes at once on an empty store make one forward pass."""
    expected = bench.whole(rows)
    store = bench.new("store")
    outputs = [bench.new(f"output-{number}") for number in range(4)]
    doors = [bench.extract(rows, store, output) for output in outputs]
    ended = [sound(door.ended()) for door in doors]
    encoded = sum(each.out.count(", encoded") for each in ended)
    right = sum(features_digest(output) == expected for output in outputs)
    bench.report(
        "crowd, extract",
        encoded == 1 and right == 4,
        f"4 processes, {rows:,} rows: encoded by {encoded}, right results {right}, {max(each.seconds for each in ended):.1f} s",
    )
    store = bench.new("store")
    doors = [bench.run(rows, store, f"pooling={pooling}") for pooling in POOLINGS]
    ended = [sound(door.ended()) for door in doors]
    timing = [json.loads((door.log / "result.json").read_text(encoding="utf-8"))["timing"] for door in doors]
    caches = sorted(each["cache"] for each in timing)
    total = sum(each["rows_encoded"] for each in timing)
    expected_rows = rows + max(rows // 10, 1000)
    bench.report(
        "crowd, run",
        caches == ["hit", "hit", "hit", "miss"] and total == expected_rows,
        f"4 poolings: {', '.join(caches)}; {total:,} of {expected_rows:,} rows encoded; {max(each.seconds for each in ended):.1f} s",
    )


# Memory ------------------------------------------------------------------------------------------------------------------------------


def memory(bench: Bench, rows: int) -> None:
    """Peak memory of extraction does not grow with the rows; that of a run, which fits a probe in memory, is told beside it."""
    for door in ("extract", "run"):
        peaks = []
        for count in (rows // 10, rows):
            store, output = bench.new("store"), bench.new("output")
            call = bench.extract(count, store, output) if door == "extract" else bench.run(count, store)
            peaks.append(sound(call.ended()).peak)
        growth = peaks[1] - peaks[0]
        figures = f"{rows // 10:,} rows {peaks[0]:.0f} MB, {rows:,} rows {peaks[1]:.0f} MB, difference {growth:.0f} MB"
        if door == "extract":
            bench.report("memory, extract", growth <= GROWTH, f"{figures} (at most {GROWTH})")
        else:
            print(f"memory, run: {figures}  for information", flush=True)


# Damage ------------------------------------------------------------------------------------------------------------------------------


def flip(path: Path, rng: np.random.Generator) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def damage(bench: Bench, rows: int) -> None:
    """Whatever happens to a stored file is noticed, said and made good."""
    expected = bench.whole(rows)
    store, output = bench.folder / "store", bench.folder / "whole"
    # The extraction reads the features that it is asked for, the tokens and what is known of the model.
    asked = next(path.parent for path in store.glob("features/*/*/values.npy") if _holds(path, output))
    used = [asked, *store.glob("tokens/*/*"), *store.glob("facts/*/*")]
    files = sorted(path for folder in used for path in folder.iterdir())

    def check(name: str, harm: Callable[[], object], noticed: bool = True) -> None:
        harm()
        ended = bench.extract(rows, store, output).ended()
        warned = "is damaged" in ended.error
        same = features_digest(output) == expected
        good = ended.status == 0 and warned == noticed and same and "Traceback" not in ended.error
        bench.report(
            "damage",
            good,
            f"{name}: {'warned of' if warned else 'no warning'}, features {'the same' if same else 'DIFFER'}",
        )

    for path in files:
        for _ in range(3 if path.name == "values.npy" else 1):
            check(
                f"a bit of {path.relative_to(store).parts[0]}/{path.name} flipped",
                lambda path=path: flip(path, bench.rng),  # type: ignore[misc]
            )
    values = asked / "values.npy"
    check("values.npy cut to half", lambda: os.truncate(values, values.stat().st_size // 2))
    check("values.npy empty", lambda: os.truncate(values, 0))
    check("values.npy deleted", values.unlink)
    check("meta.json deleted", (asked / "meta.json").unlink)
    check("a strange file beside the values", lambda: (asked / "strange.npy").write_bytes(b"garbage"), noticed=False)
    check("strange files in the store", lambda: _strange(store), noticed=False)


def _holds(path: Path, output: Path) -> bool:
    """Whether a stored array is the one that was written out."""
    values = np.load(path)
    return (output / "train.safetensors").read_bytes().endswith(values.tobytes())


def _strange(store: Path) -> None:
    for place in ("features", "tokens", "partial", "tmp", "locks", "."):
        (store / place).mkdir(exist_ok=True)
        (store / place / "strange").write_bytes(b"garbage")


# Disk --------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A memory disk of `size` MB; UserError where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def disk(bench: Bench, size: int) -> None:
    """A full disk gives one clear error and leaves the store sound; a read-only one says so."""
    if sys.platform != "linux" or os.geteuid() != 0:
        print("disk: skipped, a memory disk can be mounted by root on Linux alone", flush=True)
        return
    try:
        with mounted(bench.folder / "disk", size):
            pass
    except (UserError, FileNotFoundError) as error:
        print(f"disk: skipped, a memory disk cannot be mounted here ({error})", flush=True)
        return
    # A pass needs its shards and its values, each (poolings, rows, width) float32.
    from src.pooling import poolings

    row = 2 * len([each for each in poolings.values() if each.at_least <= LAYERS]) * WIDTH * 4
    rows = int(size * 1e6 / row * 0.6)
    expected = bench.whole(rows)
    too_small(bench, size, 3 * rows)
    fills_up(bench, size, rows, expected)
    output_fills_up(bench, size, rows)
    read_only(bench, rows, expected)


def too_small(bench: Bench, size: int, rows: int) -> None:
    """A pass that cannot fit is refused before it begins; on a larger disk the same command completes."""
    expected = bench.whole(rows)
    folder, output = bench.new("disk"), bench.new("output")
    with mounted(folder, size):
        ended = bench.extract(rows, folder, output).ended()
        begun = shards(folder)
        bench.report("disk, too small", said_clearly(ended) and not begun, f"{size} MB: {complaint(ended)}")
        remount(folder, f"size={8 * size}m")
        again = bench.extract(rows, folder, output).ended()
        same = features_digest(output) == expected
        bench.report(
            "disk, too small",
            again.status == 0 and same,
            f"then {8 * size} MB: features {'the same' if same else 'DIFFER'}",
        )


def fills_up(bench: Bench, size: int, rows: int, expected: str) -> None:
    """Another's file fills the disk while the shards are made, and again while the values are written."""
    folder, output = bench.new("disk"), bench.new("output")
    with mounted(folder, size):
        for moment, begun in (
            ("shards are made", lambda: shards(folder) > 3),
            ("values are written", lambda: is_writing(folder)),
        ):
            before = shards(folder)
            door = bench.extract(rows, folder, output)
            while door.running() and not begun():
                time.sleep(POLL)
            fill(folder / "filler")
            ended = door.ended()
            kept = shards(folder)
            good = said_clearly(ended) and kept >= before
            bench.report("disk, filled while " + moment, good, f"{kept} shards kept: {complaint(ended)}")
            full = bench.extract(rows, folder, output).ended()
            bench.report("disk, still full", said_clearly(full) and shards(folder) == kept, complaint(full))
            (folder / "filler").unlink()
        remount(folder, f"size={2 * size}m")
        kept = shards(folder)
        ended = bench.extract(rows, folder, output).ended()
        resumed = max(_resumed(folder), default=0)
        same = features_digest(output) == expected
        bench.report(
            "disk, larger", ended.status == 0 and same and resumed == kept > 0,
            f"{2 * size} MB: {resumed} of {kept} shards taken up, features {'the same' if same else 'DIFFER'}",
        )  # fmt: skip


def _resumed(store: Path) -> list[int]:
    metas = [json.loads(path.read_text(encoding="utf-8"))["meta"] for path in store.glob("features/*/*/meta.json")]
    return [meta["pass"]["shards_resumed"] for meta in metas]


def fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def output_fills_up(bench: Bench, size: int, rows: int) -> None:
    """The disk of the output is full: what is there stays as it was, and nothing half-written is left."""
    folder = bench.new("disk")
    with mounted(folder, size):
        fill(folder / "filler")
        ended = bench.extract(rows, bench.folder / "store", folder).ended()
        left = sorted(path.name for path in folder.iterdir())
        bench.report(
            "disk, output full",
            said_clearly(ended) and left == ["filler"],
            f"left there: {', '.join(left)}; {complaint(ended)}",
        )


def read_only(bench: Bench, rows: int, expected: str) -> None:
    """A store or an output that cannot be written is said so; on becoming writable, all is well."""
    folder, output = bench.new("disk"), bench.new("output")
    with mounted(folder, 100):
        remount(folder, "ro")
        for name, store, place in (("store", folder, output), ("output", bench.folder / "store", folder)):
            ended = bench.extract(rows, store, place).ended()
            bench.report(f"disk, read-only {name}", said_clearly(ended), complaint(ended))
        remount(folder, "rw")
        ended = bench.extract(rows, folder, output).ended()
        same = features_digest(output) == expected
        bench.report("disk, writable again", ended.status == 0 and same, f"features {'the same' if same else 'DIFFER'}")


# -------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    part: Literal["all", "kills", "crowd", "memory", "damage", "disk"] = "all"
    kills: int = 20
    pass_rows: int = 250_000
    rows: int = 600_000
    crowd_rows: int = 20_000
    disk: int = 40
    seed: int = 0


@command(Options)
def main(options: Options) -> None:
    """Run the parts that are asked for."""
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        parts: dict[str, Callable[[Bench], None]] = {
            "kills": lambda bench: kills(bench, options.pass_rows, options.kills),
            "crowd": lambda bench: crowd(bench, options.crowd_rows),
            "memory": lambda bench: memory(bench, options.rows),
            "damage": lambda bench: damage(bench, options.crowd_rows),
            "disk": lambda bench: disk(bench, options.disk),
        }
        bench = Bench(Path(folder), options.seed)
        for name, part in parts.items():
            if options.part in ("all", name):
                part(bench)
    if bench.failures:
        raise UserError(f"{bench.failures} checks failed.")


if __name__ == "__main__":
    main()
