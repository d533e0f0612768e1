"""Folders in the layout of a dataset of the hub, the hub's cache, and a mirror of the hub on this machine."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COMMIT = "0123456789" * 4


def write_dataset(folder: Path, features: Mapping[str, Any], **splits: Mapping[str, Sequence[Any]]) -> Path:
    """Write a dataset as Parquet files, and a README that states the types of its columns.

    Parameters
    ----------
    folder : Path
    features : mapping
        Column to type: the name of one, a list of class names, or a mapping as the README holds it.
    **splits
        Rows by column.
    """
    folder.mkdir(parents=True)
    stated = []
    for name, kind in features.items():
        if isinstance(kind, list):
            kind = {"dtype": {"class_label": {"names": {str(number): each for number, each in enumerate(kind)}}}}
        stated.append({"name": name, **({"dtype": kind} if isinstance(kind, str) else kind)})
    files = [{"split": name, "path": f"{name}.parquet"} for name in splits]
    card = {"dataset_info": {"features": stated}, "configs": [{"config_name": "default", "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n", encoding="utf-8")
    for name, rows in splits.items():
        pq.write_table(pa.table({column: list(cells) for column, cells in rows.items()}), folder / f"{name}.parquet")
    return folder


def cache_repository(cache: Path, kind: str, name: str, folder: Path) -> Path:
    """Copy a folder into a cache of the hub as its library lays it out; return the snapshot.

    `kind` is models or datasets, `name` an id.
    """
    repository = cache / f"{kind}--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(folder, repository / "snapshots" / COMMIT))


@contextmanager
def served_dataset(name: str, folder: Path) -> Iterator[str]:
    """Serve a folder as the dataset `name` of a hub on this machine, and yield the hub's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.respond(content=False)

        def do_GET(self) -> None:
            self.respond(content=True)

        def respond(self, *, content: bool) -> None:
            status, body, headers = answer(urllib.parse.unquote(urllib.parse.urlsplit(self.path).path))
            self.send_response(status)
            for key, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            if content:
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    def answer(path: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/":
            return 200, b"", {}
        files = {file.name: file for file in folder.iterdir()}
        if path.startswith(f"/api/datasets/{name}/tree/"):
            listed = [{"type": "file", "path": each, "size": file.stat().st_size, "oid": "0" * 40}
                      for each, file in files.items()]  # fmt: skip
            return 200, json.dumps(listed).encode(), {}
        if path.startswith(f"/api/datasets/{name}"):
            return 200, json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode(), {}
        resolved = path.removeprefix(f"/datasets/{name}/resolve/").partition("/")[2]
        if path.startswith(f"/datasets/{name}/resolve/") and resolved in files:
            return 200, files[resolved].read_bytes(), {"ETag": f'"{resolved}"'}
        found = path.startswith(f"/datasets/{name}/")
        return 404, b"", {"X-Error-Code": "EntryNotFound" if found else "RepoNotFound"}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
