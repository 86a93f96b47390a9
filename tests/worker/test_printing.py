"""Values from outside are escaped when printed, and ages are formatted."""

import json
import os
import subprocess
import sys
import time
from datetime import date, timedelta

import pytest
import typer

from worker.cli.ages import age_from
from worker.text.ages import shown_age
from worker.text.printable import json_line, pretty, printable, printable_bytes


@pytest.mark.parametrize(("text", "shown"), [
    ("plain é 日本 \\", "plain é 日本 \\"),
    ("\x1b[2J", r"\x1b[2J"),
    ("a\nb\r\t\0", r"a\nb\r\t\x00"),
    ("\x9b31m \x7f", r"\x9b31m \x7f"),
    ("\u202egpj.exe \u200b", r"\u202egpj.exe \u200b"),
    ("\udcff", r"\udcff"),
    ("\U000e0001", r"\U000e0001"),
], ids=ascii)  # fmt: skip
def test_terminal_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert printable_bytes(b"a\xff\x1b\xc3\xa9") == "a\\xff\\x1bé"


def test_json_is_ascii_without_control_characters() -> None:
    text = "".join(map(chr, [*range(0xA0), 0x202E, 0x2028, 0xFEFF, 0x1F600])) + "\udcff"
    line = json_line({"key": text, "day": date(2026, 1, 15)})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"key": text, "day": "2026-01-15"}


@pytest.mark.parametrize(("value", "kind", "shown"), [
    (b'{"a":[1,"\xc2\x9b"]}', "JSON", '{\n  "a": [\n    1,\n    "\\x9b"\n  ]\n}'),
    (b'{"a": "\\u001b"}', "JSON", '{\n  "a": "\\u001b"\n}'),
    (b"{\x1b\nx", "text", "{\\x1b\nx"),
    (b'"\xff"', "bytes", '"\\xff"'),
    (b"", "text", ""),
    (b"[" * 5_000 + b"]" * 5_000, "text", "[" * 5_000 + "]" * 5_000),
    (b"[" * 201 + b"]" * 201, "text", "[" * 201 + "]" * 201),
    (b'["\\"' + b"[" * 300 + b'"]', "JSON", '[\n  "\\"' + "[" * 300 + '"\n]'),
], ids=range(8))  # fmt: skip
def test_value_is_shown_by_its_kind(value: bytes, kind: str, shown: str) -> None:
    assert pretty(value) == (kind, shown)


def test_deepest_json_is_indented() -> None:
    assert pretty(b"[" * 200 + b"]" * 200)[0] == "JSON"


@pytest.mark.parametrize(("text", "age"), [
    ("0s", timedelta()), ("45m", timedelta(minutes=45)), ("12h", timedelta(hours=12)), ("30d", timedelta(days=30)),
    ("2w", timedelta(days=14)),
])  # fmt: skip
def test_age_is_a_number_with_a_unit(text: str, age: timedelta) -> None:
    assert age_from(text) == age


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1 d", "1y", "٣d", "999999w", "1d2h"])
def test_invalid_age_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        age_from(text)


@pytest.mark.parametrize(("seconds", "shown"), [
    (-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h"), (86_399, "23 h"), (86_400, "1 d"),
])  # fmt: skip
def test_an_age_is_shown_in_its_largest_whole_unit(seconds: int, shown: str) -> None:
    assert shown_age(timedelta(seconds=seconds)) == shown


A_LONG_ANSWER = """
import asyncio, sys
from worker.cli import main as cli
from worker.cli.shared import run_async

def long() -> None:
    run_async(lambda: asyncio.sleep(0))
    print("x" * 300_000)

def with_a_long_answer(arguments, whole=cli.command_line):
    app = whole(arguments)
    app.command()(long)
    return app

cli.command_line = with_a_long_answer
sys.argv = ["customer-worker", "long"]
cli.main()
"""


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_slow_reader_gets_the_whole_output(unbuffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        [sys.executable, "-c", A_LONG_ANSWER],
        bufsize=0,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as answering:
        assert answering.stdout is not None
        assert answering.stdout.read(1) == b"x"
        time.sleep(0.5)  # in which the pipe fills up
        out, err = answering.communicate(timeout=60)
    assert (len(out), err) == (300_000, b"")
