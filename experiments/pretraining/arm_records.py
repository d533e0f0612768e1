"""Measure the arms of a study, and write their records.

``python -m experiments.pretraining.arm_records arms=FOLDER [study=nsp] [data_root=FOLDER]``

Each complete arm gets its sweeps, which are not run again once they are finished. Their records
become the bundle ``arms/STUDY`` among the committed records, with the test rows of the first seed.
Beside it are ``arms.json`` (each training's identity, digest and figures) and ``training.csv`` (all
training curves). Arms of the same study whose records are there already, and whose trainings are
not in the folder, keep them: so a study can be trained in parts, or on several machines. For
``study=continued``, ``text=`` and ``other_text=`` name the books and a folder of text of another
kind, on which the next-sentence heads are measured. docs/protocol.md states what the records answer.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.bundles import RECORDS_FILE, Record, read_records, write_bundle
from experiments.cli import ModelPath, at_least, command, required
from experiments.files import rounded, write_csv, write_json
from experiments.losses import without_rows
from experiments.manifest import RECORDS_DIR, write_manifest
from experiments.pretraining.arms import PREPARED, STUDIES, Arm, check_identity, read_identity
from src.cli.messages import print_text
from src.errors import UserError, flatten
from src.storage.files import DAMAGE, file_digest, read_json
from src.storage.keys import content_key

MAIN = "pooling=cls,pooler,mean"
SWEEPS: dict[str, dict[str, tuple[str, ...]]] = {  # of a study's arms, by name
    "nsp": {"probes": ("+experiment=arms",)},
    "continued": {
        "probes": ("+experiment=arms", "dataset=sst2,mr,cr,mpqa,trec,mrpc,stsb,sick_e"),
        "similarity": ("+experiment=similarity", "dataset=sts12,sts13,sts14,sts15", "probe.features=none", MAIN),
    },
}
FACTS, CURVES = "arms.json", "training.csv"
VARIED = ("seed", "objective", "negatives")  # settings in which the arms of a study may differ
HELD_OUT_LENGTH = 128  # word pieces of a pair


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    arms: str = required("the folder that experiments.pretraining.arms wrote")
    study: Literal["nsp", "continued"] = "nsp"
    data_root: str | None = None
    text: str | None = None  # study=continued: the books that the arms were trained on
    other_text: str | None = None  # study=continued: text of another kind
    rows: int = at_least(100, 4096)  # pairs of each text
    overrides: tuple[str, ...] = ()  # of the sweeps, after their own
    work: str = "multirun/arms"  # folder of the sweeps
    records: str = str(RECORDS_DIR)


@command(Options)
def main(options: Options) -> None:
    """Measure the arms that are complete, and write the records and their manifest."""
    study, source = STUDIES[options.study], Path(options.arms)
    planned = [Arm(study, name, seed, source) for seed in range(study.seeds) for name in study.arms]
    arms = [arm for arm in planned if arm.is_complete()]
    labels = {arm.label for arm in planned}
    beyond = [path.parent.name for path in source.glob("*/training.csv") if path.parent.name not in labels]
    if beyond:
        print_text(f"not of study={options.study}, left out: {', '.join(sorted(beyond))}")
    for arm in arms:
        arm.check_study()
    if not arms:
        raise UserError(
            f"arms={options.arms}: no complete training of study={options.study}. Train them first: "
            "python -m experiments.pretraining.arms"
        )
    if options.study == "continued" and not (options.text and options.other_text):
        raise UserError(
            "text and other_text are not both set. study=continued measures next sentences on the books and on text "
            "of another kind: text=FOLDER other_text=FOLDER."
        )
    output = Path(options.records) / "arms" / options.study
    facts, bundle, curves = read_others(output, labels - {arm.label for arm in arms})
    check_alike(
        {**{label: each["identity"] for label, each in facts.items()}, **{a.label: read_identity(a) for a in arms}}
    )
    texts = text_digest(source)
    known = {each["texts"] for each in facts.values() if each.get("texts")}
    if texts and known - {texts}:
        raise UserError(
            f"{output} holds records of trainings on another text than arms={source}, so they cannot be compared. "
            "Name other arms=, or another records= for them."
        )
    for arm in arms:
        records = sweep(arm, options)
        # The error of contrasts between arms is that of seeds and units, so rows are kept as a sample.
        bundle += records if arm.seed == 0 else map(without_rows, records)
        facts[arm.label] = {**describe(arm, records), "texts": texts, **measure_heads(arm, options)}
        curves += [{"arm": arm.name, "seed": arm.seed, **row} for row in training_rows(arm)]
        print_text(f"{arm.label}: {len(records)} runs")
    facts = {arm.label: facts[arm.label] for arm in planned if arm.label in facts}
    places = {label: place for place, label in enumerate(facts)}
    curves.sort(key=lambda row: (places[label_of(row)], int(row["step"])))
    # The records last: after an interruption the facts name arms without records, which is noticed.
    write_json(output / FACTS, {"study": options.study, "planned": len(planned), "arms": facts})
    write_csv(output / CURVES, list(dict.fromkeys(name for row in curves for name in row)), curves)
    write_bundle(bundle, output)
    write_manifest(Path(options.records))


def read_others(
    folder: Path, labels: Collection[str]
) -> tuple[dict[str, dict[str, Any]], list[Record], list[dict[str, Any]]]:
    """Return facts, records and curves of the arms with these labels that the study's bundle holds.

    Raises
    ------
    UserError
        The bundle is damaged.
    """
    if not any((folder / name).exists() for name in (FACTS, RECORDS_FILE)):
        return {}, [], []
    try:
        facts = {label: each for label, each in read_json(folder / FACTS)["arms"].items() if label in labels}
        if not facts:
            return {}, [], []
        for each in facts.values():
            check_identity(each["identity"])
        with (folder / CURVES).open(newline="", encoding="utf-8") as file:
            curves = [row for row in csv.DictReader(file) if label_of(row) in facts]
        steps = {label_of(row): int(row["step"]) for row in curves}
        if missing := facts.keys() - steps.keys():
            raise ValueError(f"no curve of {', '.join(sorted(missing))}")
    except (*DAMAGE, csv.Error) as error:
        raise UserError(
            f"{folder}: {FACTS} or {CURVES} is damaged ({flatten(error, 120)}). Restore or remove the folder."
        ) from error
    print_text(f"kept from {folder}: {', '.join(facts)}")
    records = [record for record in read_records(folder) if record.result.model in facts]
    if missing := facts.keys() - {record.result.model for record in records}:
        raise UserError(f"{folder} holds no records of {', '.join(sorted(missing))}. Measure these arms again.")
    return facts, records, curves


def label_of(row: Mapping[str, Any]) -> str:
    """Return the label of the arm that a row of the curves belongs to."""
    return f"{row['arm']}-{row['seed']}"


def text_digest(arms: Path) -> str | None:
    """Return the digest of the texts on which the trainings of a folder began; None if they are not known."""
    from experiments.pretraining.corpus import prepared_texts

    found = prepared_texts(arms / PREPARED)
    return content_key(found[0]) if len(found) == 1 else None


def check_alike(identities: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse arms that differ in more than seed, objective and negatives.

    Word pieces (``text``) have to be the same within a seed alone: vocabularies that were trained in
    different folders could number the same pieces otherwise.

    Raises
    ------
    UserError
        Two arms were trained otherwise, such as on another text.
    """
    shared = {
        label: {
            **{name: value for name, value in each.items() if name != "text" or "weights" in each},
            "schedule": {name: value for name, value in each.get("schedule", {}).items() if name not in VARIED},
        }
        for label, each in identities.items()
    }
    first = next(iter(shared))
    by_seed: dict[Any, str] = {}
    for label, each in shared.items():
        own = identities[label]
        beside = by_seed.setdefault(own.get("schedule", {}).get("seed"), label)
        if own.get("text") != identities[beside].get("text"):
            raise UserError(
                f"{label} and {beside} share a seed and not their word pieces, so they cannot be compared. Train both "
                "in one folder."
            )
        if rounded(each) != rounded(shared[first]):
            differing = sorted(
                name for name in each.keys() | shared[first].keys() if each.get(name) != shared[first].get(name)
            )
            raise UserError(
                f"{label} and {first} differ in {', '.join(differing)}, so they cannot be compared. "
                "Name other arms=, or another records= for them."
            )


def sweep(arm: Arm, options: Options) -> list[Record]:
    """Run an arm's sweeps, or continue them, and return their records.

    Records of other weights, which an earlier training of the same name left there, are not among them.

    Raises
    ------
    UserError
        A job failed, or no record is of the arm's weights.
    """
    weights = {"model.safetensors": file_digest(arm.folder / "model.safetensors")}
    place = Path(options.work) / options.study / arm.label
    for name, words in SWEEPS[options.study].items():
        given = [*words, "tracker=none", "model=checkpoint", f'model.path="{arm.folder}"']
        if options.data_root:
            given.append(f'data_root="{options.data_root}"')
        given += [*options.overrides, f'hydra.sweep.dir="{place / name}"']
        ended = subprocess.run([sys.executable, "-m", "src.run", "-m", *given], check=False)
        if ended.returncode:
            raise UserError(f"{arm.label}: a sweep failed: see above. Run the same command again to continue it.")
    found = read_records(place)
    own = [each for each in found if (each.result.provenance.get("model") or {}).get("weights") == weights]
    if not own:
        raise UserError(f"{place} holds no record of the weights in {arm.folder}. Name another work= folder.")
    return own


def describe(arm: Arm, records: list[Record]) -> dict[str, Any]:
    """Return a training's identity, the digest of its weights and its last held-out figures."""
    last = training_rows(arm)[-1]
    identity = read_identity(arm)
    return {
        "arm": arm.name,
        "seed": arm.seed,
        "steps": int(last["step"]),
        "tokens": int(last["tokens"]),
        "seconds": float(last["seconds"]),
        "identity": identity,
        "weights": file_digest(arm.folder / "model.safetensors"),
        "pooler": records[0].result.pooler,
        "nsp_accuracy": float(last["nsp_accuracy"]) if last["nsp_accuracy"] else None,
        "mlm_accuracy": float(last["mlm_accuracy"]),
    }


def training_rows(arm: Arm) -> list[dict[str, str]]:
    """Return the rows of a training's curve."""
    with (arm.folder / "training.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measure_heads(arm: Arm, options: Options) -> dict[str, Any]:
    """Return an arm's held-out figures on both texts, kept beside its sweeps; none for ``study=nsp``."""
    if options.text is None or options.other_text is None:
        return {}
    from experiments.pretraining import held_out
    from experiments.pretraining.corpus import read_texts, text_digests

    digest = file_digest(arm.folder / "model.safetensors")[:12]
    found = {}
    for name, text, share in (("books", options.text, 0.02), ("other_text", options.other_text, 1.0)):
        # Kept under all that decides them: the pairs' number, the weights and the text.
        of_text = content_key(text_digests(read_texts(Path(text))))[:12]
        kept = Path(options.work) / options.study / arm.label / f"{name}-{options.rows}-{digest}-{of_text}.json"
        if not kept.is_file():
            asked = held_out.Options(
                text=text,
                model=ModelPath(str(arm.folder)),
                held_out=share,
                rows=options.rows,
                lengths=(HELD_OUT_LENGTH,),
            )
            write_json(kept, held_out.measure(asked))
        measured = read_json(kept)
        found[name] = {"rows": measured["rows"], **measured["held_out"][str(HELD_OUT_LENGTH)]}
    return found


if __name__ == "__main__":
    main()
