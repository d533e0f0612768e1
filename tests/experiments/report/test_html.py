"""The HTML page fetches nothing, describes its figures in words, and escapes names from the data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.experiments.report.conftest import EVIL, missed, sweep, written
from tests.helpers.records import make_four


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


def test_the_page_fetches_nothing_and_describes_its_figures(tmp_path: Path) -> None:
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
    assert len(figures) == 3 and all(
        set((given["aria-labelledby"] or "").split()) <= set(identifiers) for given in figures
    )
    assert next(tag for tag, _ in elements if re.fullmatch("h[1-6]", tag)) == "h1"


def test_names_from_the_data_are_escaped(tmp_path: Path) -> None:
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


def test_a_click_sorts_a_column_and_no_other_script_runs(browser: str, question: Path, tmp_path: Path) -> None:
    sweep(question, {EVIL: missed(3990)})
    _, html = written(question)
    outcome = """<script>
const order = () => Array.from(table.tBodies[0].rows, (row) => row.cells[0].textContent);
const table = document.querySelectorAll("table")[1], head = table.tHead.rows[0].cells[1], found = [];
const click = (cell) => {
  cell.querySelector("button").click(); found.push([head.getAttribute("aria-sort"), ...order()]);
};
for (const cell of [head, head, table.tHead.rows[0].cells[3]]) { click(cell); }
document.body.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(found) }));
</script>"""
    guarded, open_ = tmp_path / "guarded.html", tmp_path / "open.html"
    guarded.write_text(html.replace("</main>", f"</main>{outcome}"))
    open_.write_text(re.sub("<meta http-equiv[^>]*>", "", html).replace("</body>", f"{outcome}</body>"))
    # a script that is not the report's own is refused
    assert "<pre>" not in rendered(browser, guarded, tmp_path / "one")
    shown = rendered(browser, open_, tmp_path / "two")
    assert "<title>Which pooling?" in shown
    up, down, blanks = json.loads(re.search("<pre>(.*)</pre>", shown)[1].replace("&lt;", "<").replace("&gt;", ">"))  # type: ignore[index]
    names = [EVIL, "constant (baseline)", "bag of word pieces (baseline)", "pooler", "cls", "mean"]
    assert up == ["ascending", *names] and down == ["descending", *names[::-1]]
    assert blanks[0] is None and set(blanks[-3:]) == {"mean", *names[1:3]}  # without a p: the best and the baselines
