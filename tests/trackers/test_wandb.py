"""Offline runs are made by real processes and read back with W&B's own reader: `wandb leet inspect`. Whole sweeps: test_wandb_runs.py."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from src.cli.structured import load_option
from src.config.schema import TrackerConfig
from src.data.dataset import Dataset, Split
from src.errors import UserError
from src.trackers import build
from src.trackers import wandb as module
from src.trackers.examples import examples
from src.trackers.none import NoTracker
from src.trackers.wandb import WandbTracker, summary, unreachable
from tests.helpers.records import make_predictions, make_result

ROOT = Path(__file__).resolve().parents[2]
KEY = "fake" + 36 * "7"
HEAD = """
import os, sys, time, logging
from pathlib import Path
from src.cli.structured import load_option
from src.config.schema import TrackerConfig
from src.trackers import build
from tests.helpers.records import make_result
logging.basicConfig(format="%(message)s")
assert "wandb" not in sys.modules
def start(folder, run, **config):
    tracker = build(TrackerConfig(**config))
    tracker.start(
        {"model": {"path": "tiny", "revision": None}, "layer": -1}, name=run, group="sweep", job_type="probe", tags=["tiny", "mean"],
        folder=Path(folder),
    )
    return tracker
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment that knows no key and no W&B settings but those given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WANDB_") and "proxy" not in name.lower()
    }
    return {**kept, "HOME": str(home), "NETRC": str(home / "netrc"), "PYTHONPATH": str(ROOT), **more}


def python(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", HEAD + script],
        cwd=folder,
        env=environment(folder / "home", **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def offline_runs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("wandb/offline-run-*") if path.is_dir())


def inspect(run: Path) -> list[dict]:
    """What the library's own reader finds in an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    done = subprocess.run(command, env=environment(run), capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def merged(records: list[dict], kind: str) -> dict:
    found: dict = {}
    for record in records:
        if record["type"] == kind:
            found |= record[kind].get("update", {})
    return found


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two jobs of one process, the second of which fails; a key lies in the environment."""
    folder = tmp_path_factory.mktemp("sweep")
    script = """
for folder, failed in (("job 0", False), ("job 1", True)):
    tracker = start(folder, "tiny-" + folder)
    if not failed:
        tracker.log(make_result())
    print(tracker.finish(failed))
sys.stdout.flush()
children = Path(f"/proc/self/task/{os.getpid()}/children")
print("children", children.read_text() if children.exists() else "", file=sys.stderr)
"""
    done = python(script, folder, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_for_each_job_in_its_own_folder_and_one_line_about_it(sweep):
    folder, done = sweep
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line, job in zip(lines, ("job 0", "job 1"), strict=True):
        (run,) = offline_runs(folder / job)
        assert line == f"W&B: offline run; send it with: wandb sync '{run.relative_to(folder)}'"
    assert done.stderr.startswith("children")  # nothing else was printed
    assert len(done.stderr.splitlines()) == 1


def test_the_run_holds_config_summary_and_grid(sweep):
    folder, _ = sweep
    (run,) = offline_runs(folder / "job 0")
    records = inspect(run)
    (head,) = [record["run"] for record in records if record["type"] == "run"]
    assert head["display_name"] == "tiny-job 0"
    assert not head.get("host")
    assert (head["run_group"], head["job_type"], head["tags"], head["project"]) == (
        "sweep",
        "probe",
        ["tiny", "mean"],
        "bert-pooling-probes",
    )
    config = {name: value for name, value in head["config"]["update"].items() if name != "_wandb"}
    assert config == {"model": {"path": "tiny", "revision": None}, "layer": -1}
    found = merged(records, "summary")
    for name, value in summary(make_result()).items():
        assert found[name] == value
    (table,) = run.glob("files/media/table/grid*.json")
    assert json.loads(table.read_text()) == {
        "columns": ["value", "loss", "converged"],
        "data": [[0.1, 0.5, True], [0.01, 0.4, True]],
    }
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]


def test_a_failed_job_is_marked_failed(sweep):
    folder, _ = sweep
    (run,) = offline_runs(folder / "job 1")
    records = inspect(run)
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [1]
    assert "score" not in merged(records, "summary")


def test_neither_key_nor_host_nor_command_line_is_written_anywhere(sweep):
    folder, done = sweep
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    content = b"".join(path.read_bytes() for path in files) + (done.stdout + done.stderr).encode()
    assert KEY.encode() not in content
    runs = b"".join(path.read_bytes() for path in folder.rglob("*.wandb"))
    assert runs
    assert sys.executable.encode() not in runs
    assert b"/" + Path(sys.argv[0]).name.encode() not in runs


def test_nothing_of_a_job_lands_in_the_home_folder(sweep):
    folder, _ = sweep
    assert not [path for path in (folder / "home").rglob("*") if path.is_file() and path.suffix != ".log"]


def test_no_process_is_left_behind(sweep):
    _, done = sweep
    children = [int(word) for word in done.stderr.split()[1:]]
    if not children:
        pytest.skip("needs /proc to find the library's process")
    end = time.monotonic() + 5
    while (alive := [child for child in children if _runs(child)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive


def _runs(process: int) -> bool:
    try:
        return b"wandb" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_killed_job_keeps_what_it_logged(tmp_path):
    (tmp_path / "home").mkdir()
    script = HEAD + "tracker = start('job', 'killed'); tracker.log(make_result()); tracker.measure({'loss': 2.5}, 7)"
    script += "; print('logged', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        time.sleep(2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    (run,) = offline_runs(tmp_path / "job")
    records = inspect(run)
    assert merged(records, "summary")["score"] == 0.8
    assert [
        record["history"]["item"]["loss"] for record in records if "loss" in record.get("history", {}).get("item", {})
    ] == [2.5]


def test_a_crash_of_the_library_costs_one_line_each_and_neither_the_job_nor_the_next(tmp_path):
    script = """
import signal
tracker = start("one", "one")
for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
    if b"wandb" in Path(f"/proc/{child}/cmdline").read_bytes():
        os.kill(int(child), signal.SIGKILL)
before = time.monotonic()
tracker.log(make_result())
tracker.finish(False)
assert time.monotonic() - before < 5
tracker = start("two", "two")
tracker.log(make_result())
print(tracker.finish(False))
"""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("needs /proc to find the library's process")
    done = python(script, tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()
    assert all(line.startswith("W&B could not") and line.endswith("not affected.") for line in done.stderr.splitlines())
    assert "two/wandb/offline-run-" in done.stdout


def test_auto_without_a_key_falls_back_and_says_why(tmp_path):
    done = python("print(start('job', 'auto', mode='auto').finish(False))", tmp_path)
    assert "W&B: offline run (no W&B API key was found); send it with: wandb sync job/wandb/offline-run-" in done.stdout
    assert len(offline_runs(tmp_path / "job")) == 1


def test_auto_with_a_key_and_no_server_falls_back_and_says_why(tmp_path):
    done = python(
        "print(build(TrackerConfig(mode='auto')).reason)",
        tmp_path,
        WANDB_API_KEY=KEY,
        WANDB_BASE_URL=f"http://127.0.0.1:{closed_port()}",
    )
    assert done.stdout.startswith("127.0.0.1 cannot be reached: ")
    assert KEY not in done.stdout + done.stderr


def test_online_without_a_key_refuses_at_once_and_asks_nothing_even_at_a_terminal(tmp_path):
    script = (
        HEAD + "try:\n    build(TrackerConfig(mode='online'))\nexcept Exception as error:\n    print('refused:', error)"
    )
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(tmp_path), stdin=there, stdout=there, stderr=there, cwd=tmp_path
    )
    os.close(there)
    try:
        assert process.wait(timeout=20) == 0
        text = b""
        while select.select([here], [], [], 0.2)[0]:
            try:
                text += os.read(here, 65536)
            except OSError:
                break
    finally:
        process.kill()
        os.close(here)
    assert text.startswith(b"refused: tracker.mode=online: no W&B API key was found")
    assert len(text.splitlines()) == 2


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def clean(monkeypatch):
    """An environment without W&B's own switches and without proxies."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or "proxy" in name.lower():
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "_refusal", None)
    return monkeypatch


@pytest.fixture
def server():
    """A web server on loopback that answers with the status set on it, or not at all where that is 0."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.server.status:
                time.sleep(3)
            self.send_response(self.server.status or 200)
            self.end_headers()

        do_CONNECT = do_GET  # what a proxy is asked

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        listening.daemon_threads = True
        listening.block_on_close = False
        listening.status = 200
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "reason"), [(200, None), (401, None), (404, None), (502, "127.0.0.1 answered: 502 Bad Gateway")]
)
def test_a_server_at_work_is_no_obstacle(clean, server, status, reason):
    server.status = status
    assert unreachable(f"http://127.0.0.1:{server.server_port}") == reason


def test_a_closed_door_is_named(clean):
    assert unreachable(f"http://127.0.0.1:{closed_port()}").startswith("127.0.0.1 cannot be reached: ")
    assert unreachable("http://no-such-host.invalid").startswith("no-such-host.invalid ")


def test_an_open_door_that_nobody_answers_at_is_an_obstacle(clean, server):
    server.status = 0
    clean.setattr(module, "PATIENCE", 0.2)
    assert unreachable(f"http://127.0.0.1:{server.server_port}") == "127.0.0.1 did not answer within 0.2 s"


def test_a_server_that_talks_nonsense_is_an_obstacle_and_no_traceback(clean, capfd):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            connection.sendall(b"\x00\x1b[31mgarbage\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        reason = module.unreachable(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()
    assert "is no HTTP" in reason and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_BASE_URL", "notaurl"), ("WANDB_BASE_URL", "http://[::1"), ("WANDB_MODE", "garbage")]
)
def test_settings_that_cannot_be_read_are_a_reason_and_no_traceback(tmp_path, name, value):
    done = python(
        "print(start('job', 'auto', mode='auto').finish(False))", tmp_path, WANDB_API_KEY=KEY, **{name: value}
    )
    assert "Traceback" not in done.stderr and KEY not in done.stdout + done.stderr
    assert done.stdout.startswith("W&B: offline run (") or "None" in done.stdout


def test_a_proxy_is_asked_instead_of_the_server(clean, server):
    server.status = 503
    clean.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    clean.setenv("https_proxy", f"127.0.0.1:{server.server_port}")
    assert unreachable("http://no-such-host.invalid") == "no-such-host.invalid answered: 503 Service Unavailable"
    assert "503" in unreachable("https://no-such-host.invalid")
    clean.setenv("no_proxy", "127.0.0.1")
    assert unreachable(f"http://127.0.0.1:{closed_port()}").startswith("127.0.0.1 cannot be reached")


def test_a_silent_network_is_given_up_even_in_the_look_up_of_the_name(clean):
    clean.setattr(module, "PATIENCE", 0.1)

    def silent(*arguments: object) -> None:
        time.sleep(1)
        raise OSError("too late")

    clean.setattr(socket, "getaddrinfo", silent)
    before = time.monotonic()
    assert unreachable("https://example.invalid") == "example.invalid did not answer within 0.1 s"
    assert time.monotonic() - before < 0.9


@pytest.mark.parametrize("obstacle", [None, "no key"])
@pytest.mark.parametrize("wanted", ["offline", "auto", "online"])
def test_the_mode_is_what_was_asked_and_can_be_had(clean, wanted, obstacle):
    asked = []
    clean.setattr(module, "obstacle", lambda: asked.append(1) or obstacle)
    if wanted == "online" and obstacle:
        with pytest.raises(UserError, match=r"tracker\.mode=online: no key\.\n.*tracker\.mode=offline"):
            WandbTracker(TrackerConfig(mode=wanted))
    else:
        expected = "offline" if wanted == "offline" or obstacle else "online"
        assert WandbTracker(TrackerConfig(mode=wanted)).mode == expected
    assert len(asked) == (wanted != "offline")


@pytest.mark.parametrize("wanted", ["auto", "online"])
def test_what_was_refused_once_is_not_waited_for_by_the_next_job(clean, wanted):
    asked = []
    clean.setattr(module, "obstacle", lambda: asked.append(1) or "no answer")
    for _ in range(3):
        try:
            assert WandbTracker(TrackerConfig(mode=wanted)).mode == "offline"
        except UserError as error:
            assert "no answer" in str(error)
    assert len(asked) == 1


@pytest.mark.parametrize("wanted", ["offline", "auto", "online"])
@pytest.mark.parametrize(("switch", "mode"), [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")])
def test_the_environment_can_only_close(clean, wanted, switch, mode):
    clean.setenv("WANDB_MODE", switch)
    clean.setattr(module, "obstacle", lambda: pytest.fail("asked for a key"))
    assert WandbTracker(TrackerConfig(mode=wanted)).mode == mode
    clean.setenv("WANDB_MODE", "online")
    assert WandbTracker(TrackerConfig(mode="offline")).mode == "offline"


def test_disabled_writes_nothing(clean, tmp_path):
    clean.setenv("WANDB_MODE", "disabled")
    tracker = build(TrackerConfig())
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=tmp_path / "job")
    tracker.log(make_result())
    assert tracker.finish(False) is None
    assert not (tmp_path / "job").exists()


class Refusing(WandbTracker):
    """A tracker whose server takes no online run, and whose disk may take no offline one."""

    opened: list[str]
    disk = True

    def _open(self, about):
        self.opened = [*getattr(self, "opened", []), self.mode]
        if self.mode == "online" or not self.disk:
            raise RuntimeError("permission denied for this entity")


def start(tracker: WandbTracker, folder: Path) -> WandbTracker:
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=folder)
    return tracker


def test_a_server_that_refuses_the_run_ends_online_and_not_auto(clean, tmp_path, caplog):
    clean.setattr(module, "obstacle", lambda: None)
    auto = start(Refusing(TrackerConfig(mode="auto")), tmp_path)
    assert auto.opened == ["online", "offline"]
    assert auto.reason == "the server refused the run: permission denied for this entity"
    clean.setattr(module, "_refusal", None)
    with pytest.raises(UserError, match="refused the run: permission denied"):
        start(Refusing(TrackerConfig(mode="online")), tmp_path)
    ours = [
        entry for entry in caplog.records if entry.name.startswith("src")
    ]  # the library's service may write lines of its own
    assert not ours
    Refusing.disk = False
    try:
        for mode in ("offline", "auto"):
            clean.setattr(module, "_refusal", None)
            tracker = start(Refusing(TrackerConfig(mode=mode)), tmp_path)
            tracker.log(make_result())
            assert tracker.finish(False) is None
    finally:
        Refusing.disk = True
    ours = [entry.getMessage()[:36] for entry in caplog.records if entry.name.startswith("src")]
    assert ours == ["W&B could not open an offline run: p"] * 2


def test_the_summary_is_flat_and_without_undefined_values():
    flat = summary(make_result())
    assert flat["score"] == 0.8
    assert flat["score_low"] < flat["score"] < flat["score_high"]
    assert flat["metric/accuracy"] == 0.8
    assert not [name for name in flat if name.startswith("metric/mcc")]
    assert flat["baseline/constant"] == 0.5
    assert flat["baseline/bag_of_word_pieces_high"] == 0.8
    assert (flat["seconds/encode"], flat["seconds/total"], flat["cache"]) == (30.0, 36.0, "miss")
    assert (flat["counts/train"], flat["pooler/status"], flat["key"]) == (1000, "trained", make_result().key)
    assert all(isinstance(value, str | int | float | bool) for value in flat.values())


def test_the_contract_names_all_that_a_run_holds():
    promised = re.findall(r"^summary: (.+?)  ", module.__doc__, re.MULTILINE)
    names = {name.strip() for line in promised for name in line.split(",") if not name.strip().startswith("_")}
    assert {re.sub("_(low|high)$", "", re.sub("/.*", "/NAME", name)) for name in summary(make_result())} == {
        re.sub("/PHASE|/status", "/NAME", name) for name in names
    }


def test_a_job_done_again_in_its_folder_continues_its_run_and_no_other(clean, tmp_path):
    identity = module._identity
    first = identity(tmp_path, "abcdef0123")
    assert first["id"].startswith("abcdef01_") and set(first) == {"id"}
    assert identity(tmp_path, "abcdef0123") != first
    (tmp_path / "wandb" / f"offline-run-20260131_120000-{first['id']}").mkdir(parents=True)
    assert identity(tmp_path, "abcdef0123") == {**first, "resume": "allow"}
    assert "resume" not in identity(tmp_path, "0123456789")
    assert identity(tmp_path, "")["id"].startswith("refused_")
    clean.setenv("WANDB_RUN_ID", "chosen")  # by a W&B sweep's agent
    assert identity(tmp_path, "abcdef0123") == {}


def make_data(labels: np.ndarray, classes: tuple[str, ...] = (), **roles: str) -> Dataset:
    texts = [f"text {number}" for number in range(len(labels))]
    split = Split("dev", pa.array(texts, pa.large_string()), pa.array(reversed(texts), pa.large_string()), labels)
    return Dataset(
        "toy", "", classes, {"dev": split}, {"train": "train", "test": "dev", **roles}, "carve", 0, ("accuracy",), {}
    )


def rows(table):
    columns, lines = table
    return [dict(zip(columns, line, strict=True)) for line in lines]


def test_examples_say_of_each_row_whether_it_was_right():
    labels = np.array([0, 1, 1])
    arrays = make_predictions(labels, np.array([0, 1, 0])) | make_predictions(
        labels, np.array([1, 1, 1]), role="mismatched"
    )
    found = rows(examples(arrays, make_data(labels, ("no", "yes"), mismatched="dev")))
    assert [row["correct"] for row in found] == [1, 1, 0, 0, 1, 1]
    assert [row["split"] for row in found] == 3 * ["test"] + 3 * ["mismatched"]
    assert found[2] == {
        "split": "test",
        "row": f"{2:016x}",
        "fold": -1,
        "label": "yes",
        "prediction": "no",
        "correct": 0.0,
    }


def test_examples_of_draws_are_shares_and_of_numbers_errors():
    labels = np.array([0, 1])
    found = rows(
        examples(make_predictions(labels, np.array([[0, 1], [1, 1], [1, 1], [1, 0]])), make_data(labels, ("no", "yes")))
    )
    assert [(row["prediction"], row["correct"]) for row in found] == [("yes", 0.25), ("yes", 0.75)]
    scores = np.array([1.0, 2.0])
    found = rows(examples(make_predictions(scores, np.array([[1.0, 3.0], [2.0, 4.0]])), make_data(scores)))
    assert [(row["prediction"], row["error"]) for row in found] == [(1.5, 0.5), (3.5, 1.5)]


def test_texts_are_in_the_examples_only_where_they_were_asked_for():
    labels = np.array([0, 1])
    arrays, data = make_predictions(labels, labels), make_data(labels, ("no", "yes"))
    assert "text 0" not in str(examples(arrays, data))
    assert [(row["text"], row["text_pair"]) for row in rows(examples(arrays, data, text=True))] == [
        ("text 0", "text 1"),
        ("text 1", "text 0"),
    ]


def test_pre_training_shows_no_path():
    from experiments.pretrain import Pretraining, shown

    text = json.dumps(shown(Pretraining(text="/home/me/secret books", output="/home/me/secret model")))
    assert "secret" not in text and '"rate"' in text and '"layers"' in text


def test_none_does_nothing_and_imports_nothing(tmp_path):
    tracker = build(TrackerConfig(name="none"))
    assert isinstance(tracker, NoTracker)
    tracker.start({}, name="a", group=None, job_type="probe", tags=[], folder=tmp_path / "job")
    tracker.log(make_result())
    tracker.show({"table": (["column"], [[1]])})
    tracker.measure({"loss": 1.0}, 0)
    assert tracker.finish(True) is None
    assert not (tmp_path / "job").exists()
    done = python(
        "t = start('job', 'a', name='none'); t.log(make_result()); t.finish(False); print('wandb' in sys.modules)",
        tmp_path,
    )
    assert done.stdout == "False\n", done.stderr


def test_an_unknown_tracker_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown tracker 'wanb'; did you mean 'wandb'\? Known: none, wandb"):
        build(TrackerConfig(name="wanb"))


@pytest.mark.parametrize("name", ["none", "wandb"])
def test_each_tracker_has_its_option(name):
    assert load_option(TrackerConfig, "tracker", name).name == name


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_without_a_home_nothing_is_said_and_nothing_left(tmp_path, mode):
    (tmp_path / "tmp").mkdir()
    script = (
        f"tracker = start('job', 'homeless', mode='{mode}'); tracker.log(make_result()); print(tracker.finish(False))"
    )
    done = python(script, tmp_path, HOME="", XDG_CACHE_HOME="", TMPDIR=str(tmp_path / "tmp"))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "wandb sync" in done.stdout
    assert offline_runs(tmp_path / "job")
