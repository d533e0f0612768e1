"""The page says what its verdicts do, marks its scores by them, and is complete in one HTML file."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from experiments.bundles import Record
from experiments.paper import html, markdown
from experiments.paper.claims import answer, ladder, practice
from experiments.paper.claims.answer import NAMES, WORDS, not_shown_worse
from experiments.paper.claims.sentences import Claim, Number
from experiments.paper.claims.settings import OWN_TASK, apart_against_together, coherence
from experiments.paper.evidence import PAIRS, Evidence
from experiments.paper.figures import drawing
from experiments.paper.grids import MARKS, Cell, Grid, Line, task_grid
from experiments.paper.page import FIRST, Appendix, Page, limits
from experiments.strata import SINGLE
from src.errors import UserError
from src.evaluation.differences import BETTER, INCONCLUSIVE, NO_RELEVANT_DIFFERENCE, SMALL_DIFFERENCE, WORSE
from tests.experiments.paper.test_strata import make_evidence
from tests.experiments.test_strata import make_tasks
from tests.helpers.records import make_result


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return make_evidence(tmp_path_factory.mktemp("records"))


@pytest.fixture
def claim(evidence: Evidence):
    return next(each for each in evidence.strata("bert-books") if each.stratum == SINGLE).claims(PAIRS)[1]


def test_every_sentence_of_the_answer_has_one_number_and_the_words_of_its_verdict(evidence: Evidence) -> None:
    sentences = answer.answer(evidence)
    assert len(sentences) == 5
    claims = {each.stratum: {(c.a, c.b): c for c in each.claims(PAIRS)} for each in evidence.strata("bert-books")}
    for (stratum, pair), sentence in zip(answer.SENTENCES, sentences, strict=True):
        if stratum in claims:
            assert len(re.findall(r"\[[+−0-9., ]+\]", sentence)) == 1
            own = WORDS[claims[stratum][pair].verdict].replace("{a}", NAMES[pair[0]]).replace("{b}", NAMES[pair[1]])
            assert own in sentence or "{winner}" in own
        else:
            assert "not measured" in sentence


@pytest.mark.parametrize(
    ("value", "p", "same", "words"),
    [
        (0.05, 0.01, 0.9, "the mean is better than [CLS]"),
        (-0.05, 0.01, 0.9, "the mean is worse than [CLS]"),
        (-0.005, 0.01, 0.01, "in favour of [CLS] over the mean"),
        (0.005, 0.01, 0.01, "in favour of the mean over [CLS]"),
        (0.001, 0.6, 0.01, "no relevant difference between the mean and [CLS]"),
        (0.05, 0.3, 0.9, "the mean against [CLS] is inconclusive"),
    ],
)
def test_the_words_follow_the_verdict_and_its_sign(claim, value: float, p: float, same: float, words: str) -> None:
    changed = replace(claim, difference=replace(claim.difference, value=value), p=p, p_equivalence=same)
    sentence = answer._sentence(SINGLE, changed)
    assert words in sentence
    others = {"better than", "worse than", "in favour of", "no relevant difference", "inconclusive"}
    assert sum(other in sentence for other in others) == 1


def test_a_pooling_is_not_excluded_by_an_inconclusive_verdict(claim) -> None:
    better = replace(claim, difference=replace(claim.difference, value=0.05), p=0.01, p_equivalence=0.9)
    assert not_shown_worse([better]) == ["mean"]
    assert not_shown_worse([replace(better, p=0.3)]) == ["cls", "mean"]
    assert not_shown_worse([replace(better, difference=replace(better.difference, value=-0.05))]) == ["cls"]


def test_the_others_are_below_one_pooling_only_where_each_is_shown_to_be(claim) -> None:
    mean_cls = replace(claim, difference=replace(claim.difference, value=0.05), p=0.01, p_equivalence=0.9)
    mean_pooler, pooler_cls = replace(mean_cls, b="pooler"), replace(mean_cls, a="pooler", p=0.3)
    assert answer._all_below_one([mean_cls, mean_pooler, pooler_cls])
    assert not answer._all_below_one([mean_cls, replace(mean_pooler, p=0.3), pooler_cls])  # two are left
    below = replace(pooler_cls, p=0.01, difference=replace(claim.difference, value=-0.05))
    assert not answer._all_below_one([mean_cls, replace(mean_pooler, p=0.3), below])  # the pooler is below [CLS] alone


@pytest.mark.parametrize(("p", "gains"), [(0.01, True), (0.3, False)])
def test_the_page_says_where_the_pooler_gains(claim, p: float, gains: bool) -> None:
    of_mean = replace(claim, difference=replace(claim.difference, value=0.05), p=p, p_equivalence=0.9)
    assert answer._gains(replace(of_mean, a="pooler")) == gains
    assert not answer._gains(of_mean)
    assert not answer._gains(replace(of_mean, a="pooler", difference=replace(claim.difference, value=-0.05)))


class Stratum:
    """A stratum whose claims over classifications may differ from those over all tasks."""

    stratum = SINGLE

    def __init__(self, overall, classified) -> None:
        self.overall, self.classified = overall, classified

    def claims(self, pairs, *, regression: bool = True):
        return [self.overall if regression else self.classified]


def test_the_choice_names_the_classifications_that_contradict_it(claim) -> None:
    better = replace(claim, difference=replace(claim.difference, value=0.05), p=0.01, p_equivalence=0.9)
    worse = replace(better, difference=replace(better.difference, value=-0.05))
    assert answer._choice(Stratum(better, better)) == "**mean** for single texts"
    contradicted = answer._choice(Stratum(worse, better))
    assert contradicted.startswith("**[CLS]** for single texts (but **mean** in D² on ")
    assert all(task in contradicted for task in better.tasks)
    assert answer._choice(Stratum(replace(better, p=0.3), better)).startswith("**[CLS]** or **mean** for single texts")


def test_the_answers_own_encoder_is_not_among_the_others(evidence: Evidence) -> None:
    assert f"In {answer.trained_model(evidence)} (" not in answer.other_encoders(evidence)


def test_the_marks_of_the_table_are_the_verdicts_against_the_best(evidence: Evidence) -> None:
    grid = task_grid(evidence, "bert-books")
    verdicts = {(each.task, frozenset((each.a, each.b))): each.verdict for each in evidence.contrasts("bert-books")}
    lines = {line.cells[0].text: line for line in grid.lines if line.kind != "claim"}
    assert set(lines) == {each.task for each in evidence.contrasts("bert-books")}
    for task, line in lines.items():
        scores = dict(zip(("cls", "pooler", "mean"), line.cells[2:5], strict=True))
        (best,) = [name for name, cell in scores.items() if cell.is_best]
        for name, cell in scores.items():
            mark = re.sub(r"[0-9.−]", "", cell.text)
            assert mark == ("" if name == best else MARKS[verdicts[task, frozenset((name, best))]])
    assert lines["cola"].kind == "floor" and lines["sst2"].kind == "task"
    claims = [line.cells[0].text for line in grid.lines if line.kind == "claim"]
    assert [name.partition(",")[0] for name in claims] == ["single texts", "pairs read together", "pairs read apart"]


def test_every_verdict_has_words_and_a_mark() -> None:
    terms = {BETTER, WORSE, SMALL_DIFFERENCE, NO_RELEVANT_DIFFERENCE, INCONCLUSIVE}
    assert set(WORDS) == set(MARKS) == terms


def make_page() -> Page:
    grid = Grid(
        ("task", "in", "[CLS]"),
        (
            Line("claim", (Cell("single texts, 2 tasks"), Cell("D²"), Cell("0"))),
            Line("floor", (Cell("cola"), Cell("MCC"), Cell("1.0", is_best=True))),
        ),
    )
    encoder = answer_encoder(grid)
    return Page("A title", "scope", "lead <b>", ("one", "two"), (encoder,), ("note",), ("**Small**",), "how", (),
                {FIRST: "A caption."}, {"runs": "All runs."})  # fmt: skip


def answer_encoder(grid: Grid):
    from experiments.paper.page import Encoder

    return Encoder("bert-books (pooler trained)", grid, None, "")


class Outside(HTMLParser):
    """Collects the addresses that a browser would load, and the tags that are open at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [str(value) for name, value in attrs if name in ("src", "srcset", "data")]
        self.loaded += [str(value) for name, value in attrs if tag == "link" and name == "href"]


def test_the_html_page_loads_nothing_and_holds_its_figure(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = tmp_path / "figure.png"
    image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
    page = make_page()
    text = html.to_html(page, {FIRST: html.embed(picture)})
    assert text == html.to_html(page, {FIRST: html.embed(picture)})
    parser = Outside()
    parser.feed(text)
    assert parser.loaded and all(each.startswith("data:image/png;base64,") for each in parser.loaded)
    assert "lead &lt;b&gt;" in text and '<tr class="floor">' in text and "<b>Small</b>" in text
    assert "prefers-color-scheme: dark" in text and "default-src 'none'" in text


def test_the_markdown_page_strikes_out_what_cannot_answer() -> None:
    text = markdown.to_markdown(make_page())
    assert "| ~~cola~~ | ~~MCC~~ | ~~**1.0**~~ |" in text and "1. one\n2. two" in text
    assert f"![{FIRST}](figures/{FIRST}.png)" in text


def test_base_is_untested_only_where_no_encoder_has_its_shape(evidence: Evidence) -> None:
    assert "BERT-base is untested" in " ".join(limits(evidence)) and "frozen** and small" in answer.scope(evidence)
    first, *rest = evidence["poolings/bert-books"]
    counts = {**first.result.counts, "width": 768}
    large = replace(first, result=replace(first.result, layer=12, counts=counts))
    other = Evidence({**evidence, "poolings/bert-books": [large, *rest]}, evidence.files)
    assert "untested" not in " ".join(limits(other)) and "frozen** and small" not in answer.scope(other)


def test_what_was_measured_of_another_encoder_is_not_said_of_this_one(evidence: Evidence) -> None:
    of_another = make_tasks([OWN_TASK], pairs=True)
    other = Evidence({**evidence, "coherence/other": of_another}, evidence.files)
    assert answer.purpose(other) == "" and coherence(other) is None
    own = Evidence({**evidence, "coherence/bert-books": of_another}, evidence.files)
    assert "the pooler" in answer.purpose(own) and coherence(own) is not None


def test_claims_and_tables_are_those_of_the_models_with_records(evidence: Evidence, tmp_path: Path) -> None:
    alone = Evidence({"poolings/other": evidence["poolings/bert-books"]}, tmp_path)
    for claim in (ladder.ladder, ladder.precision, ladder.nsp_pooler, practice.draws, practice.finetuning):
        assert claim(alone) is None
    assert practice.against_random(alone) == [] and "small" in answer.trust(alone)
    assert drawing.missing_records(["ladder/*", "poolings/*"], alone, tmp_path) == ["ladder/*"]
    (tmp_path / "ladder" / "empty").mkdir(parents=True)
    assert drawing.missing_records(["ladder/*"], alone, tmp_path) == ["ladder/*"]


def test_a_comparison_of_both_pairings_is_on_tasks_that_count_in_both(evidence: Evidence, tmp_path: Path) -> None:
    together = [*make_tasks(["mrpc", "sick_e"], pairs=True), *make_tasks(["rte"], pairs=True, loss=0.69)]
    apart = make_tasks(["mrpc", "sick_e", "rte"], pairs=True, pairing="separate")
    pairs = {"poolings/bert-books": evidence["poolings/bert-books"], "pairs/bert-books": [*together, *apart]}
    found = apart_against_together(Evidence(pairs, tmp_path), "bert-books")
    assert {claim.tasks for _, claim in found} == {("mrpc", "sick_e")}


def test_long_tables_of_an_appendix_are_folded() -> None:
    many = [Number(f"what {number}", "1.0", "[0, 2]", "p") for number in range(markdown.SHOWN + 1)]
    for numbers in (many, many[1:]):
        page = replace(make_page(), appendices=(Appendix(Claim("A title", "text", numbers, "the command"), ()),))
        text = markdown.to_markdown(page)
        assert ("<details>" in text) == (len(numbers) > markdown.SHOWN) and "`the command`" in text


def test_records_without_poolings_have_no_answer() -> None:
    with pytest.raises(UserError, match="poolings/MODEL"):
        answer.answer(Evidence({}))


def test_a_score_that_is_undefined_has_no_mark(evidence: Evidence) -> None:
    records = [*evidence["poolings/bert-books"]]
    place = next(n for n, each in enumerate(records)
                 if (each.result.dataset, each.result.pooling_label) == ("cr", "pooler"))  # fmt: skip
    score = {**make_result().score, "value": None, "low": None, "high": None}
    records[place] = Record("x", replace(records[place].result, score=score), records[place].predictions)
    bundles = {**evidence.data, "poolings/bert-books": records}
    grid = task_grid(Evidence(bundles, evidence.files), "bert-books")
    line = next(each for each in grid.lines if each.cells[0].text == "cr")
    assert line.cells[3] == Cell("–")
