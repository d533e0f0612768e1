"""Only regular files are opened, and lines have a bounded length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from src.data.reading.files import open_file
from src.data.reading.lines import read_labelled_lines
from src.errors import UserError
from tests.helpers.files import EXTENSIONS, any_reader, read_tsv, write_file


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file 'none.tsv'"):
        read_tsv(tmp_path / "none.tsv")
    with pytest.raises(UserError, match="is a folder"):
        read_tsv(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        open_file(write_file(tmp_path / "a.tsv", "x") / "b", "a.tsv/b")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_only_regular_files_are_opened(tmp_path: Path, extension: str) -> None:
    for number, make in enumerate(
        [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir, lambda path: os.symlink(path, path)]
    ):
        path = tmp_path / f"{number}.{extension}"
        make(path)
        with pytest.raises(UserError, match=path.name):
            any_reader(path)
    with pytest.raises(UserError, match="cannot read"):
        any_reader(Path(f"nul\0.{extension}"))


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl"])
def test_a_line_above_the_size_limit_is_refused_by_its_number(tmp_path: Path, extension: str) -> None:
    path = write_file(tmp_path / f"a.{extension}", '{"text": "a"}\n' if extension == "jsonl" else "text\n")
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # NULs without end, none of them on the disk
    with pytest.raises(UserError, match=f"{path.name}' line 2 is longer than 64 MiB"):
        any_reader(path)


def test_an_encoding_that_cannot_be_cut_into_lines_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", "0 x\n")
    for encoding in ("utf-16", "utf-32-le", "base64"):
        with pytest.raises(UserError, match=f"encoding '{encoding}'"):
            read_labelled_lines(path, "a", None, encoding)
