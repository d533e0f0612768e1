"""Cautions: facts about a run that limit the meaning of its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.results.result import Result
from src.results.statements import recorded_joint_reading


def uses_untrained_pooler(result: Result) -> bool:
    """Return whether the run's pooling needs the checkpoint's pooler and this was never trained."""
    from src.pooling import needs_pooler

    return result.pooler.get("status") == "untrained" and needs_pooler(result.pooling_label)


def is_one_vector(result: Result) -> bool:
    """Return whether all texts had the same vector, so that the score says nothing about them."""
    return bool(result.counts.get("one_vector"))


def cautions(result: Result) -> list[str]:
    """Return the cautions of a run, one sentence each."""
    chosen, counts = result.chosen, result.counts
    found = []
    if uses_untrained_pooler(result):
        what = "this pooling is" if result.pooling_label == result.pooling else "a part of this pooling is"
        found.append(f"the checkpoint's pooler was never trained: {what} a random projection of cls.")
    if is_one_vector(result):
        found.append("all texts have one and the same vector: the score says nothing about them.")
    if joint := recorded_joint_reading(result):
        found.append(joint)
    if chosen.get("converged") is False:
        found.append("the probe did not converge.")
    bag = result.baseline.get("bag_of_word_pieces")
    if isinstance(bag, Mapping) and bag.get("converged") is False:
        found.append("the bag of word pieces did not converge: its score is a lower estimate.")
    if chosen.get("reusable") is False:
        found.append("the estimator has no linear coefficients: probe.safetensors cannot predict by itself.")
    if chosen.get("separable") and chosen.get("value") == 0:
        found.append("the training rows are separable and the penalty is zero: the probe has no optimum.")
    if chosen.get("at_edge") and not _perfect(result.score):
        end = {"low": "lowest", "high": "highest"}.get(chosen["at_edge"], chosen["at_edge"])
        found.append(f"the grid's {end} value was chosen; a wider grid may score higher.")
    if result.config.get("probe", {}).get("shuffled_labels"):
        found.append("the labels of the training rows were shuffled: a control, whose score shows chance level.")
    if counts.get("test_in_train"):
        found.append(f"{counts['test_in_train']} test rows also occur in train.")
    return found


def _perfect(score: Mapping[str, Any]) -> bool:
    """Return whether no score can be better."""
    from src.evaluation.metrics import metrics

    if score["metric"] not in metrics:
        return False
    metric = metrics[score["metric"]]
    return bool(score["value"] == (metric.high if metric.higher_is_better else metric.low))
