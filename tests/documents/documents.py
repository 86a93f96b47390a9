"""The documents, and their parts: blocks of code, code spans, tables, headings, links."""

import itertools
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPERATING = ROOT / "docs" / "operating.md"
CONTRACT = ROOT / "docs" / "contract.md"
DESIGN = ROOT / "docs" / "design.md"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCED = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of code."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


class Command(NamedTuple):
    """A code span or a line of a block that is a command."""

    document: Path
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}: {self.text}"


def blocks(language: str | None = None, documents: list[Path] = DOCUMENTS) -> list[Block]:
    """All blocks of these documents, or those in one language."""
    found = []
    for document in documents:
        text = document.read_text()
        for match in _FENCED.finditer(text):
            line = text[: match.start()].count("\n") + 1
            found.append(Block(document, line, match[2], textwrap.dedent(match[3])))
    return [block for block in found if language in {None, block.language}]


def prose(document: Path) -> str:
    """Return the document without its fenced blocks."""
    return _FENCED.sub("", document.read_text())


def spans(text: str) -> list[str]:
    """Code spans, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def alternatives(span: str) -> list[str]:
    """`topics create|check` stands for two commands."""
    words = [word.split("|") if re.fullmatch(r"[a-z|-]+", word) else [word] for word in span.split()]
    return [" ".join(each) for each in itertools.product(*words)]


def section(document: Path, title: str) -> str:
    """Return the text below a heading, up to the next heading of the same level or a higher one."""
    text = document.read_text()
    heading = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert heading, f"{document.name} has no section {title}"
    rest = text[heading.end() :]
    following = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def table(document: Path, title: str) -> list[list[str]]:
    """Return the rows of the first table of a section, without its head."""
    lines = [line for line in section(document, title).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    ends = next((number for number, line in enumerate(lines) if number > 1 and set(line) <= set("|- ")), len(rows) + 1)
    return rows[2 : ends - 1]


def headings(document: Path) -> list[str]:
    """Return the text of each heading."""
    return re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """Return the anchor of each heading, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(document)}


def links(document: Path) -> list[str]:
    """Return the target of each link."""
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(document))
