"""Escaping of names that users chose: in Markdown, CSV and shells, and without secrets."""

import shlex

import pytest

from experiments.cli import read_options
from experiments.report.__main__ import Options
from src.errors import flatten, mask, printable
from src.results.escaping import csv_cell, markdown, option

SECRET = "s3cr3t"
ADDRESSES = [
    f"https://user:{SECRET}@host/x.csv",
    f"https://{SECRET}@host",
    f"https:/user:{SECRET}@host/x.csv",  # as pathlib writes it
    f"s3://key:{SECRET}/more@bucket/x.csv",
    f"https://user:p@{SECRET}@host:8080/x",
    f"https://us%40er:{SECRET}%2F@host",
    f"https%3A%2F%2Fuser%3A{SECRET}%40host%2Fx",
    f"//user:{SECRET}@host/share",
    f"HTTPS://:{SECRET}@HOST",
    f"git+ssh://{SECRET}@host",
    f"https://host/x?page=2&access_token={SECRET}&y=3",
    f"https://host/x?X-Amz-Signature={SECRET}",
    f"https://host/x?sig={SECRET}",
    f"https://host/x#token={SECRET}",
    f"hf_{SECRET}{'a' * 28}/model",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_secrets_of_an_address_are_masked_in_any_text(address):
    for text in (address, f"'{address}' is missing", f"one {address} two {address}"):
        for shown in (mask(text), printable(text), flatten(ValueError(text), 60)):
            assert SECRET not in shown and "***" in shown
        assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/a@b",
        "https://host/me@x.csv",
        "/srv/a@b.csv",
        "a//b@c",
        "file:///home/me@x",
        "x@y.z",
        "a?b=c",
        "hf://org/name@main/x",
        "data&author=x.csv",
        "a#auth=b",
        "Answer?key=1",
        "out/..//me@home/f.csv",
    ],
)
def test_text_without_secrets_is_unchanged(text):
    assert mask(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "--1", "-a"])
def test_text_begins_no_formula(text):
    assert csv_cell(text).startswith("'")


@pytest.mark.parametrize("value", [-0.5, 3, None, "", "-0.5", "+1e-3", "mean", "a=b"])
def test_numbers_and_names_stay_cells(value):
    assert csv_cell(value) == value and type(csv_cell(value)) is type(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("[a](javascript:x)", r"[a]\(javascript:x)"),
        ("[a]: x", r"[a]\: x"),
        ("![a](b)", r"![a]\(b)"),
        ("a|b", r"a\|b"),
        ("`a`", r"\`a\`"),
        ("__init__ a_b", r"\_\_init\_\_ a_b"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("a & b", "a & b"),
        ("# a", r"\# a"),
        ("a\n# b", "a # b"),
        ("\\<", r"\\\<"),
    ],
)
def test_markdown_shows_a_name_as_it_stands(text, shown):
    assert markdown(text) == shown


@pytest.mark.parametrize(
    "value",
    [
        *(
            "multirun/a",
            "my runs",
            "it's",
            'a "b"',
            "a,b",
            "a: b",
            "a #b",
            "2026",
            "1e3",
            "null",
            "true",
            "[a]",
            "{a}",
            "${a}",
            r"\${a}",
            "a\\b",
        ),
        *("a\nb", "a=b", "~", "*", "$HOME", "`a`", "é\u202e", "-a", "'", '"', "a\x7f", "0x10", "12:30", " a "),
    ],
)
def test_a_pasted_option_is_the_value_again(value):
    (word,) = shlex.split(printable(option("records", value)))
    assert read_options(Options, [word]).records == value
