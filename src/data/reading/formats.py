"""Recognise files of another format or encoding by their first bytes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from src.errors import UserError

# First bytes of other formats, their name, and the way to text; {old} and {new} are quoted paths.
FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "Unpack it: gunzip < {old} > {new}"),
    (b"\xfd7zXZ\x00", "compressed by xz", "Unpack it: xz -dc < {old} > {new}"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it: zstd -dc < {old} > {new}"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "Unpack it: lz4 -dc < {old} > {new}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it, and give the file inside."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it, and give the file inside."),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "Save it from there as 'CSV UTF-8'."),
    (b"%PDF-", "a PDF", "Give its text as .csv, .tsv, .jsonl or .parquet."),
    (b"ARROW1\x00\x00", "an Arrow (Feather) file", "Write it as Parquet: pandas.read_feather(OLD).to_parquet(NEW)"),
    (b"SQLite format 3\x00", "an SQLite database", "Export its table as .csv with a header."),
    (b"\x93NUMPY", "a NumPy array", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"Obj\x01", "an Avro file", "Give text and labels as .csv, .tsv, .jsonl or .parquet."),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file: git lfs pull"),
)  # fmt: skip
WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def refuse_other_formats(start: bytes, path: Path, given: str, *, parquet: bool = False) -> None:
    """Raise a UserError if the first bytes show another format, or another encoding than UTF-8.

    With `parquet`, a Parquet file is the format that is expected.
    """
    name, way_out = _other_format(start, parquet)
    if name:
        new = path.with_name(f"{path.stem}-unpacked{path.suffix}")
        raise UserError(f"'{given}' is {name}.\n{way_out.format(old=_quoted(path), new=_quoted(new))}")
    if not parquet and (found := _wide_encoding(start)):
        encoding, marked = found
        reason = "its byte-order mark says so" if marked else "it has no byte-order mark, and NULs between its letters"
        raise UserError(
            f"'{given}' is {encoding}: {reason}. UTF-8 is needed.\n"
            f"Convert it: {conversion_command(path, encoding, 'UTF-8')}"
        )


def _other_format(start: bytes, parquet: bool) -> tuple[str, str]:
    """Return the name of another format and the way out; empty texts for readable data."""
    for magic, name, way_out in FORMATS:
        if start.startswith(magic):
            return name, way_out
    if re.match(rb"BZh[1-9]1AY&SY", start):
        return "compressed by bzip2", "Unpack it: bunzip2 < {old} > {new}"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        office = b"[Content_Types].xml" in start or b"mimetypeapplication/vnd" in start or b"xl/" in start
        if office:
            return "a spreadsheet or an office document", "Save its table from there as 'CSV UTF-8'."
        return "a ZIP archive", "Unpack it, and give the file inside: unzip {old}"
    if start[257:262] == b"ustar":
        return "a tar archive", "Unpack it, and give the file inside: tar -xf {old}"
    if WEB_PAGE.match(start):
        return (
            "a web page, not the data",
            "Download the file itself: on the hub and on GitHub its address holds 'resolve' or 'raw'.",
        )
    if not parquet and re.match(rb"PAR1[\x00-\x1f]", start):
        return "a Parquet file", "Give it a name that ends in .parquet."
    return "", ""


def _wide_encoding(start: bytes) -> tuple[str, bool] | None:
    """Return UTF-16 or UTF-32, and whether a byte-order mark says so; None for other encodings.

    Without a byte-order mark, the encoding of ASCII letters at the start decides.
    """
    if start.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32", True
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16", True
    letter = rb"[\t\n\r\x20-\x7e]"
    for name, pattern in (
        ("UTF-16LE", rb"(?:%b\x00){3}" % letter),
        ("UTF-16BE", rb"(?:\x00%b){3}" % letter),
        ("UTF-32LE", rb"(?:%b\x00\x00\x00){2}" % letter),
        ("UTF-32BE", rb"(?:\x00\x00\x00%b){2}" % letter),
    ):
        if re.match(pattern, start):
            return name, False
    return None


def conversion_command(path: Path, old: str, new: str) -> str:
    """Return the shell command that converts a file to another encoding."""
    target = path.with_name(f"{path.stem}-{new.lower()}{path.suffix}")
    return f"iconv -f {old} -t {new} {_quoted(path)} > {_quoted(target)}"


def _quoted(path: Path) -> str:
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
