"""The hub: in reach, out of reach, and with refusals."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from src.errors import UserError
from src.runtime import hub


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for switch in hub.SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    cleared = hub._reachable.cache_clear
    cleared()
    yield
    cleared()


def serving(status: int) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_any_status_is_an_answer(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    server = serving(status)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert hub.go_offline_unless_reachable() is True
    server.shutdown()
    assert hub.go_offline_unless_reachable() is True, "the answer is kept for the life of the process"
    assert not constants.HF_HUB_OFFLINE


def test_out_of_reach_switches_the_libraries_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert hub.go_offline_unless_reachable() is False
    assert constants.HF_HUB_OFFLINE is True
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_silent_server_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        assert hub.go_offline_unless_reachable(seconds=0.2) is False
        assert time.perf_counter() - start < 2


def test_a_certificate_that_cannot_be_checked_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError(ssl.SSLCertVerificationError("unable to get local issuer certificate"))

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    assert hub.go_offline_unless_reachable() is True


@pytest.mark.parametrize("switch", hub.SWITCHES)
def test_offline_variables_prevent_any_request(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    monkeypatch.setenv(switch, "1")
    monkeypatch.setattr(hub, "_reachable", lambda *arguments: pytest.fail("asked the network"))
    assert hub.go_offline_unless_reachable() is False


def refusal(kind: type[Exception]) -> Exception:
    if issubclass(kind, errors.HfHubHTTPError):
        return kind("token=hf_secret", response=Mock(headers={}))
    return kind("said so")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (errors.GatedRepoError, "is gated"),
        (errors.RepositoryNotFoundError, "is not on the hub, or is private"),
        (errors.RevisionNotFoundError, "has no revision 'v9'"),
        (errors.HFValidationError, "is not a hub id"),
        (
            errors.LocalEntryNotFoundError,
            "cannot reach the hub, and 'x/y' at revision 'v9' is not in its cache: connect, or give model.path=",
        ),
        (OSError, "cannot fetch 'x/y' at revision 'v9' from the hub"),
    ],
)
def test_refusals_are_one_or_two_lines(monkeypatch: pytest.MonkeyPatch, kind: type[Exception], message: str) -> None:
    def refuse(*arguments: object, **options: object) -> str:
        raise refusal(kind)

    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError) as caught:
        hub.snapshot("x/y", "v9", ["*.json"])
    assert message in str(caught.value)
    assert str(caught.value).count("\n") <= 1 and "hf_secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["a b", "x/y/z", "/no/such/folder", "../up", "a--b", ""])
def test_a_malformed_hub_id_is_refused_before_any_request(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: pytest.fail("asked the network"))
    with pytest.raises(UserError, match="neither a folder here nor a hub id"):
        hub.snapshot(path, None, ["*"])


def test_a_snapshot_comes_with_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def download(path: str, **options: Any) -> str:
        asked.update(options, path=path)
        return str(tmp_path / "0123abcd")

    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.snapshot("x/y", None, ["*.json"]) == (tmp_path / "0123abcd", "0123abcd")
    assert asked == {"path": "x/y", "revision": None, "allow_patterns": ["*.json"], "local_files_only": True}


def test_a_missing_model_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(UserError, match="cannot reach the hub, and 'nobody/nothing' is not in its cache"):
        hub.snapshot("nobody/nothing", None, ["*.json"])
    assert time.perf_counter() - start < 5


def test_the_hubs_own_conversion_stands_in_for_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def discussions(self: object, path: str, **wanted: Any) -> list[Any]:
        asked.update(wanted, path=path)
        return [Mock(git_reference="refs/pr/2")]

    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", discussions)
    assert hub.conversion("google/bert") == "refs/pr/2"
    assert asked == {"path": "google/bert", "author": "SFconvertbot", "discussion_type": "pull_request"}, (
        "nobody else's weights are taken"
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", lambda *a, **k: [])
    assert hub.conversion("google/bert") is None
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", Mock(side_effect=OSError))
    assert hub.conversion("google/bert") is None


def test_offline_the_conversion_in_the_cache_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "go_offline_unless_reachable", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub.conversion("google/bert") is None
    for number, file in ((1, "config.json"), (4, "model.safetensors"), (9, "model.safetensors")):
        reference, files = (
            tmp_path / "models--google--bert" / part
            for part in (f"refs/refs/pr/{number}", f"snapshots/{40 * str(number)}")
        )
        reference.parent.mkdir(parents=True, exist_ok=True)
        files.mkdir(parents=True)
        reference.write_text(40 * str(number))
        (files / file).touch()
        assert hub.conversion("google/bert") == {1: None, 4: "refs/pr/4", 9: None}[number], (
            "of two, nobody can tell which is meant"
        )
    (tmp_path / "models--google--bert/refs/refs/pr/9").unlink()
    folder, commit = hub.snapshot("google/bert", str(hub.conversion("google/bert")), ["*.safetensors"])
    assert commit == 40 * "4" and (folder / "model.safetensors").is_file()


def test_a_hub_model_of_pickles_goes_on_with_its_conversion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from src.config.schema import ModelConfig
    from src.models import finding

    for name, files in (
        ("main", ("config.json", "vocab.txt")),
        ("pr", ("config.json", "vocab.txt", "model.safetensors")),
    ):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text('{"model_type": "bert"}')
    monkeypatch.setattr(
        hub,
        "snapshot",
        lambda path, revision, patterns: (tmp_path / ("pr" if revision == "refs/pr/1" else "main"), "c" * 40),
    )
    monkeypatch.setattr(hub, "conversion", lambda path: "refs/pr/1")
    assert finding.find_checkpoint(ModelConfig(path="google/bert")).folder == tmp_path / "pr"
    monkeypatch.setattr(hub, "conversion", lambda path: None)
    with pytest.raises(UserError, match=r"no safetensors weights on its main branch.*model\.revision"):
        finding.find_checkpoint(ModelConfig(path="google/bert"))


@pytest.mark.parametrize(
    "address",
    ["https://bob:secret@hub.example", "https://hub.example:port", "nonsense", "ftp://hub.example", "https://"],
)
def test_an_address_that_cannot_be_asked_is_refused_without_its_secrets(address, monkeypatch):
    for switch in hub.SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UserError, match="HF_ENDPOINT") as caught:
        hub.go_offline_unless_reachable()
    assert "secret" not in str(caught.value)
