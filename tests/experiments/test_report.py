"""A user's report says what the paired tests say, in words that hold for any sweep, on a page that runs nothing but its own script."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.verdicts import judge, sections

from experiments import collect, page, report
from src.results.result import RECORD
from src.sweeps.comparison import find_jobs
from src.sweeps.status import write_failure, write_status
from tests.helpers.records import make_four, make_job, make_predictions, make_result

MANY = 4000
TRUTH = np.arange(MANY) % 2
EVIL = "<script>document.title='gone'</script>"


def missed(count: int, start: int = 0) -> np.ndarray:
    """Predictions that miss `count` of the rows from `start` on."""
    predictions = TRUTH.copy()
    predictions[start : start + count] = 1 - predictions[start : start + count]
    return predictions


def sweep(folder: Path, runs: dict[str, np.ndarray], **changes: Any) -> Path:
    """A sweep over poolings of one task, beside the jobs that are there."""
    start = len(find_jobs(folder)) if folder.is_dir() else 0
    for number, (pooling, predictions) in enumerate(runs.items(), start):
        make_job(folder / str(number), TRUTH, predictions, pooling=pooling, **changes)
        write_status(folder / str(number), "done")
    return folder


def composed(folder: Path, **options: Any) -> report.Report:
    return report.compose(*report.gather(folder), **options)


def sentences(folder: Path, **options: Any) -> list[str]:
    return [part.verdict.sentence for part in composed(folder, **options).parts]


def written(folder: Path, *words: str) -> tuple[str, str]:
    report.main([f"records={folder}", *words])
    return (folder / report.MARKDOWN).read_text(), (folder / report.PAGE).read_text()


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """The question's three: mean well above, the pooler almost what [CLS] is."""
    return sweep(tmp_path / "sweep", {"cls": missed(1000), "pooler": missed(1001), "mean": missed(800, start=100)})


def test_the_sentence_names_the_best_what_it_is_worth_and_what_is_equivalent(question: Path) -> None:
    (sentence,) = sentences(question)
    assert re.fullmatch(
        r"Use mean: \+5\.0 \[4\.\d, 5\.\d\] over cls, \+5\.0 \[4\.\d, 5\.\d\] over pooler; cls and pooler equivalent within 1 point\.",
        sentence,
    )


def test_numbers_are_those_of_the_paired_tests(question: Path) -> None:
    (section,) = sections(report.gather(question)[0])
    contrast = section.contrasts["mean", "cls"]
    table = next(part.runs for part in composed(question).parts)
    row = next(row for row in table.rows if row[0].text == "cls")
    assert (
        row[2].value == -contrast.difference.value
        and row[3].value == contrast.p_holm
        and row[6].value == contrast.agreement
    )
    assert [row[5].text for row in table.rows[:3]] == ["best", "lower", "lower"]
    assert row[8].text == "32"  # bytes: eight numbers of four


def test_what_cannot_be_told_apart_says_what_the_rows_could_have_shown(tmp_path: Path) -> None:
    sweep(tmp_path, {"cls": missed(900), "pooler": missed(880, start=300)})
    verdict = composed(tmp_path).parts[0].verdict
    assert verdict.use == "cls" and verdict.sentence == "Use cls, though nothing tells it apart from pooler."
    assert "pooler scores highest, +0.5" in verdict.more[0] and "needs no pooler's weights" in verdict.more[0]
    assert re.search(
        r"4,000 rows would show a true difference of \d\.\d points.*is shown within \d\.\d points", verdict.more[1]
    )


def test_a_bag_of_words_that_wins_stands_in_the_sentence(question: Path) -> None:
    for path in question.glob(f"*/{RECORD}"):
        path.write_text(
            path.read_text().replace('"high": 0.8,', '"high": 0.95,').replace('"value": 0.7\n', '"value": 0.9\n')
        )
    assert sentences(question)[0].startswith(
        "A bag of word pieces scores above every pooling (90.0 against 80.0); of the poolings, use mean: +5.0"
    )


def test_no_better_than_one_answer_stands_in_the_sentence(tmp_path: Path) -> None:
    sweep(tmp_path, {"cls": missed(1990), "mean": missed(1970)}, baseline={"constant": 0.5})
    assert sentences(tmp_path)[0].startswith(
        "No pooling is shown to beat one constant answer (50.0); of the poolings, use"
    )


def test_one_pooling_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    sweep(tmp_path, {"mean": missed(800)})
    made = composed(tmp_path)
    assert "nothing to compare it with" in made.parts[0].verdict.sentence and made.parts[0].pairs is None
    assert "No claim over tasks is made: it takes 3 tasks scored in points, here is 1." in report.to_markdown(made)


def test_less_is_better_where_the_metric_is_an_error(tmp_path: Path) -> None:
    truth = np.linspace(0, 5, 600)
    noise = np.random.default_rng(0).normal(size=600)
    for number, (pooling, size) in enumerate({"cls": 1.0, "mean": 0.5}.items()):
        score = {"metric": "rmse", "value": size, "low": 0.9 * size, "high": 1.1 * size}
        counts = make_result().counts | {"classes": None}
        make_job(
            tmp_path / str(number),
            truth,
            truth + size * noise,
            pooling=pooling,
            score=score,
            counts=counts,
            baseline={"constant": 1.4},
        )
    part = composed(tmp_path).parts[0]
    assert re.match(r"Use mean: -0\.\d+ \[-0\.\d+, -0\.\d+\] against cls\.", part.verdict.sentence)
    assert part.section.margin == pytest.approx(0.01 * truth.std())
    assert "lower is better" in part.runs.caption and [row[0].text for row in part.runs.rows][:2] == ["mean", "cls"]


def test_draws_are_compared_draw_by_draw(tmp_path: Path) -> None:
    for number, (pooling, count) in enumerate({"cls": 1000, "mean": 800}.items()):
        result = make_result(pooling=pooling, draws=3, value=1 - count / MANY)
        predictions = np.stack([missed(count + draw, start=draw) for draw in range(3)])
        result.write(tmp_path / str(number), make_predictions(TRUTH, predictions), {"weight": np.zeros((1, 8))})
    assert sentences(tmp_path)[0].startswith("Use mean: +5.0")


def test_an_undefined_score_comes_last_and_says_why(question: Path) -> None:
    score = {"metric": "accuracy", "value": None, "low": None, "high": None, "reason": "one class was predicted"}
    sweep(question, {"max": missed(2000)}, score=score)
    part = composed(question).parts[0]
    assert part.section.runs[-1].name == "max" and part.verdict.use == "mean"
    assert "max: undefined: one class was predicted." in part.notes


def test_one_vector_for_all_texts_is_not_the_one_to_use(question: Path) -> None:
    sweep(question, {"max": missed(1)}, counts={**make_result().counts, "one_vector": 300})
    part = composed(question).parts[0]
    assert part.section.runs[-1].name == "max" and part.verdict.use == "mean" and "max" not in part.verdict.sentence
    assert any(note.startswith("max: all texts have one and the same vector") for note in part.notes)


def test_groups_differ_in_all_but_the_pooling_and_say_in_what(question: Path) -> None:
    sweep(question, {"cls": missed(900), "mean": missed(500)}, layer=2)
    sweep(question, {"cls": missed(900), "mean": missed(500)}, model="other")
    made = composed(question)
    assert [part.section.title for part in made.parts] == [
        "tiny, model=checkpoint, layer=-1", "tiny, model=checkpoint, layer=2", "tiny, model=other, layer=-1",
    ]  # fmt: skip
    assert any("the groups differ in model, layer" in line for line in made.head)


def test_data_and_checkpoints_of_one_name_stay_apart(tmp_path: Path) -> None:
    for place, name in enumerate(("a.csv", "b.csv", "c.csv")):
        provenance = {
            "texts": {"test": [name]},
            "data": {"files": {f"test/{name}": "digest"}},
            "model": {"weights": place // 2},
        }
        for pooling, misses in {"cls": 900, "mean": 700}.items():
            sweep(tmp_path, {pooling: missed(misses)}, dataset="files", provenance=provenance, key=name + pooling)
    made = composed(tmp_path)
    assert len(made.parts) == 3 and all(len(part.section.runs) == 2 for part in made.parts)
    assert [re.sub("[0-9a-f]{6}", "#", part.section.title) for part in made.parts] == [
        f"files ({name}.csv, #), model=checkpoint (#)" for name in "abc"
    ]
    assert sorted(len(setting.tasks) for setting, *_ in made.across) == [1, 2]


def test_a_pooling_run_twice_stays_apart(question: Path) -> None:
    make_job(question / "9", TRUTH, missed(700), pooling="mean", key="f" * 64)
    names = {run.name for part in composed(question).parts for run in part.section.runs}
    assert "mean (ffffff)" in names and "mean" not in names


def test_a_claim_over_tasks_takes_three(tmp_path: Path) -> None:
    for task in range(3):
        runs = {"cls": missed(1000 + 40 * task), "pooler": missed(1000 + 41 * task), "mean": missed(700)}
        sweep(tmp_path, runs, dataset=f"task {task}")
        assert ("No claim over tasks is made" in composed(tmp_path).across[0][1]) == (task < 2)
    made = composed(tmp_path)
    ((setting, sentence, table),) = made.across
    assert setting.tasks == ("task 0", "task 1", "task 2") and len(setting.claims) == 3 and table is not None
    assert (
        sentence
        == "Over 3 tasks, cls and pooler are equivalent within 1 point (0.0 [0.0, 0.1] points); on no task by itself is a difference shown."
    )
    assert [row[-1].text for row in table.rows] == ["3 of 3 tasks", "3 of 3 tasks", "0 of 3 tasks"]
    assert "within the margin of 1" in page.to_html(made)


def test_an_untrained_pooler_is_called_so_and_never_recommended(tmp_path: Path) -> None:
    sweep(tmp_path, {"pooler": missed(800), "cls": missed(805, start=100)}, pooler={"status": "untrained"})
    made = composed(tmp_path)
    assert made.parts[0].verdict.use == "cls" and "random projection" in made.parts[0].verdict.more[0]
    assert any("never trained" in line for line in made.head) and any(
        "never trained" in note for note in made.parts[0].notes
    )


@pytest.mark.parametrize(
    ("evidence", "said"),
    [(None, "its fit to the encoder unknown"), (0.5625, "gets 56 % of our sentence pairs right (50 is chance)")],
)
def test_the_head_says_what_is_known_of_the_pooler(evidence: float | None, said: str) -> None:
    assert said in report.pooler({"status": "trained", "evidence": {"next_sentence_accuracy": evidence}})


def test_failed_jobs_are_listed_and_the_rest_is_reported(question: Path) -> None:
    write_failure(question / "7", ["pooling=max", "dataset=gone"], "there is no file gone.csv", "user")
    (question / "8" / ".hydra").mkdir(parents=True)
    (question / "0" / "predictions.safetensors").write_bytes(b"torn")
    markdown, html = written(question)
    for text in (markdown, html):
        assert "pooling=max dataset=gone (job 7): there is no file gone.csv" in text and "job 8: left no record" in text
        assert "Left out: 3 jobs without a record, listed at the end." in text
    assert "Use mean: +5.0" in markdown


def test_equal_records_give_equal_bytes_whatever_their_jobs_are_called(question: Path, tmp_path: Path) -> None:
    first, again = written(question), written(question)
    (tmp_path / "above").mkdir()
    for number, name in enumerate(("2", "0", "1")):
        shutil.copytree(question / name, tmp_path / "above" / "below" / str(number))
    collect.bundle(collect.read(question), tmp_path / "bundle")
    assert first == again == written(tmp_path / "above") == written(tmp_path / "bundle")


def test_nothing_else_is_written(question: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in question.rglob("*") if path.is_file()}
    report.main([f"records={question}", f"output={tmp_path / 'out'}"])
    assert before == {path: path.read_bytes() for path in question.rglob("*") if path.is_file()}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.md"]


class Elements(HTMLParser):
    """The elements of a page, refusing one that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_fetches_nothing_and_tells_its_figures_in_words(tmp_path: Path) -> None:
    _, html = written(make_four(tmp_path))
    elements = Elements(html).found
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in elements}
    links = [
        value
        for _, given in elements
        for name, value in given.items()
        if name in ("href", "src", "xlink:href", "action")
    ]
    identifiers = [given["id"] for _, given in elements if "id" in given]
    assert links and set(links) <= {f"#{name}" for name in identifiers} and len(set(identifiers)) == len(identifiers)
    assert "url(" not in html and "@import" not in html
    figures = [given for tag, given in elements if tag == "svg"]
    assert len(figures) == 2 and all(
        set((given["aria-labelledby"] or "").split()) <= set(identifiers) for given in figures
    )
    assert next(tag for tag, _ in elements if re.fullmatch("h[1-6]", tag)) == "h1"


def test_names_from_the_data_stay_names(tmp_path: Path) -> None:
    sweep(tmp_path, {EVIL: missed(900), "a|b`c": missed(950)}, dataset=EVIL, model='"><img src=x onerror=alert(1)>')
    markdown, html = written(tmp_path)
    tags = [tag for tag, _ in Elements(html).found]
    assert tags.count("script") == 1 and "img" not in tags
    assert "a\\|b\\`c" in markdown and not re.search(r"(?<!\\)<", markdown)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("needs a browser: none of chromium, google-chrome is installed")
    return found


def rendered(browser: str, page: Path, profile: Path) -> str:
    """The page as a browser holds it after its scripts have run."""
    quiet = [
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
    ]
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        f"--user-data-dir={profile}",
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_column_is_sorted_by_a_click_and_no_other_script_runs(browser: str, question: Path, tmp_path: Path) -> None:
    sweep(question, {EVIL: missed(3990)})
    _, html = written(question)
    outcome = """<script>
const order = () => Array.from(table.tBodies[0].rows, (row) => row.cells[0].textContent);
const table = document.querySelectorAll("table")[1], head = table.tHead.rows[0].cells[1], found = [];
for (let click = 0; click < 2; click++) { head.querySelector("button").click(); found.push([head.getAttribute("aria-sort"), ...order()]); }
const blank = table.tHead.rows[0].cells[3]; blank.querySelector("button").click(); found.push([head.getAttribute("aria-sort"), ...order()]);
document.body.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(found) }));
</script>"""
    guarded, open_ = tmp_path / "guarded.html", tmp_path / "open.html"
    guarded.write_text(html.replace("</main>", f"</main>{outcome}"))
    open_.write_text(re.sub("<meta http-equiv[^>]*>", "", html).replace("</body>", f"{outcome}</body>"))
    assert "<pre>" not in rendered(
        browser, guarded, tmp_path / "one"
    )  # a script that came in from elsewhere is refused
    shown = rendered(browser, open_, tmp_path / "two")
    assert "<title>Which pooling?" in shown
    up, down, blanks = json.loads(re.search("<pre>(.*)</pre>", shown)[1].replace("&lt;", "<").replace("&gt;", ">"))  # type: ignore[index]
    names = [EVIL, "constant (baseline)", "bag of word pieces (baseline)", "pooler", "cls", "mean"]
    assert up == ["ascending", *names] and down == ["descending", *names[::-1]]
    assert blanks[0] is None and set(blanks[-3:]) == {"mean", *names[1:3]}  # without a p: the best and the baselines


def test_it_needs_neither_torch_nor_matplotlib(question: Path) -> None:
    code = "import sys; from experiments import report; report.main(sys.argv[1:]); assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, f"records={question}"], check=True, capture_output=True)


def test_two_schema_versions_are_refused(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = question / "0" / RECORD
    record.write_text(record.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(SystemExit) as ended:
        report.main([f"records={question}"])
    assert ended.value.code == 1 and "schema 99" in capsys.readouterr().err and not (question / report.PAGE).exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "records is not set"),
        (["records=nowhere"], "no such folder"),
        (["records=."], "holds no record"),
        (["record=."], "did you mean 'records'"),
        (["records=.", "margin=0"], "margin=0"),
        (["records=.", "margin=wide"], "margin=wide"),
        (["records=sweep", "output=file"], "cannot write the report"),
    ],
)
def test_bad_input_ends_in_a_line(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "records=sweep" in words:
        sweep(Path("sweep"), {"mean": missed(100)})
        Path("file").write_text("")
    with pytest.raises(SystemExit) as ended:
        report.main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 1 and error.startswith("error: ") and named in error and error.count("\n") <= 3


def test_rows_that_differ_are_not_paired(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_result(pooling="max", value=0.5).write(
        question / "5", make_predictions(TRUTH[:99], TRUTH[:99]), {"weight": np.zeros((1, 8))}
    )
    with pytest.raises(SystemExit):
        report.main([f"records={question}"])
    assert "different rows" in capsys.readouterr().err


def test_what_is_equivalent_and_told_apart_all_the_same_is_said_so(question: Path) -> None:
    (section,) = sections(report.gather(question)[0], margin=0.2)
    assert judge(section).sentence == (
        "Use mean: less than 20 points from cls and pooler, but told apart; cls and pooler equivalent within 20 points."
    )
