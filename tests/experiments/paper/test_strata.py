"""The paper's claims over tasks are in D² where the records hold log-likelihoods, and absent where they do not."""

from __future__ import annotations

from pathlib import Path

from experiments.bundles import Record, read_records, write_bundle
from experiments.paper.claims.strata import by_stratum
from experiments.paper.evidence import Evidence
from experiments.strata import APART
from src.evaluation.differences import VERDICTS
from tests.experiments.test_strata import make_tasks

PEARSON = {"metric": "pearson", "value": 0.5, "low": 0.4, "high": 0.6}


def make_evidence(folder: Path, *, bare: bool = False) -> Evidence:
    """Write the records of one model as bundles and read them, `bare` without decision values."""
    records = make_tasks(["sst2", "mr", "cr", "trec", "mpqa", "subj", "tweet_irony"])
    records += make_tasks(["cola"], loss=0.69)
    records += make_tasks(["stsb", "sick_r"], pairs=True, classes=0, constant=3.0, score=PEARSON)
    records += make_tasks(["mrpc"], pairs=True)
    if bare:
        records = [
            Record("x", each.result, {name: array for name, array in each.predictions.items() if name != "decision"})
            for each in records
        ]
    apart = make_tasks(["mrpc"], pairs=True, pairing="separate")
    bundles = {"poolings/bert-books": records, "pairs/bert-books": apart}
    for name, each in bundles.items():
        write_bundle(each, folder / name)
    return Evidence({name: read_records(folder / name) for name in bundles}, folder)


def test_claims_are_made_by_stratum_from_committed_bundles(tmp_path: Path) -> None:
    claim = by_stratum(make_evidence(tmp_path))
    assert "too little decoded: cola (0.0 %)" in claim.text
    sizes = {each.what: each.test.split(";")[0] for each in claim.numbers}
    assert sizes["bert-books, single texts: mean − [CLS]"] == "7 / 5"
    assert sizes["bert-books, pairs read together: mean − [CLS]"] == "3 / 3"
    assert sizes["bert-books, pairs read together, classification tasks only: mean − [CLS]"] == "1 / 1"
    assert sizes["bert-books, pairs read apart: mean − [CLS]"] == "1 / 1"
    assert all(each.verdict in VERDICTS for each in claim.numbers)


def test_records_without_log_likelihoods_make_no_claim_in_deviance(tmp_path: Path) -> None:
    evidence = make_evidence(tmp_path, bare=True)
    assert [each.stratum for each in evidence.strata("bert-books")] == [APART]
