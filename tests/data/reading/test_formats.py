"""Files of other formats and encodings are named, with the way out."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.errors import UserError
from tests.helpers.files import EXTENSIONS, any_reader, write_file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"text\na\n", mtime=0), "gzip.*gunzip < .* > "),
        (bz2.compress(b"text\na\n"), "bzip2.*bunzip2 < .* > "),
        (lzma.compress(b"text\na\n"), "xz.*xz -dc < .* > "),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "office.*CSV UTF-8"),
        (b"PK\x03\x04" + bytes(26) + b"rows.csv", "ZIP archive.*unzip"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html>\n<html>", "web page.*Download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
    ids=["gzip", "bzip2", "xz", "xlsx", "zip", "pdf", "html", "lfs"],
)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_another_format_is_named_with_the_way_out(tmp_path: Path, extension: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s)'a.{extension}' is .*{message}"):
        any_reader(write_file(tmp_path / f"a.{extension}", content))


def test_parquet_under_another_name_is_recognised(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"(?s)is a Parquet file.*\.parquet"):
        any_reader(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_utf_16_and_32_are_recognised_and_the_advised_command_works(
    tmp_path: Path, encoding: str, extension: str
) -> None:
    texts = ["caf\u00e9", "\u4e2d\u6587"]
    content = "\r\n".join(
        ["text", *texts] if extension == "csv" else [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    )
    path = write_file(tmp_path / f"it's mine.{extension}", content.encode(encoding))
    with pytest.raises(UserError) as caught:
        any_reader(path)
    _, old, _, new, source, _, target = shlex.split(re.findall("iconv (.*)", str(caught.value))[0])
    Path(target).write_bytes(Path(source).read_bytes().decode(old).encode(new))
    assert any_reader(Path(target))["text"].to_pylist() == texts


def test_a_text_with_nuls_is_not_taken_for_utf_16(tmp_path: Path) -> None:
    assert any_reader(write_file(tmp_path / "a.csv", "text\na\x00b\x00c\x00d\n"))["text"].to_pylist() == [
        "a\x00b\x00c\x00d"
    ]
