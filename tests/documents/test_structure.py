"""The documents fit together: length, links, anchors, the parts of a decision."""

import re
from pathlib import Path

import pytest

from tests.documents.documents import (
    DESIGN,
    DOCUMENTS,
    OPERATING,
    README,
    ROOT,
    anchors,
    blocks,
    headings,
    links,
    prose,
    section,
)

MOST_WORDS = 700
LANGUAGES = {"sh", "python", "java", "json", "yaml", "sql", "text"}
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {(README.parent / target.partition("#")[0]).resolve() for target in links(README)}
    assert set(DOCUMENTS) - {README} <= linked


@pytest.mark.parametrize("document", DOCUMENTS[2:], ids=lambda p: str(p.name))
def test_a_document_begins_with_its_contents(document: Path) -> None:
    sections = re.findall(r"^## (.+)$", prose(document), re.MULTILINE)
    listed = [target.removeprefix("#") for target in links(document) if target.startswith("#")]
    for title in sections:
        assert re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") in listed, title


def test_references_from_the_code_lead_somewhere() -> None:
    sources = [*(ROOT / "worker").rglob("*.py"), *(ROOT / "worker").rglob("*.yaml"), *(ROOT / "domain").rglob("*.py")]
    for source in [*sources, ROOT / "compose.yaml", ROOT / "pyproject.toml"]:
        text = source.read_text()
        assert "README" not in text.replace("README.md", ""), f"{source} refers to a section of the README"
        for path, anchor in re.findall(r"(docs/[\w/]+\.md)(?:#([\w-]+))?", text):
            assert (ROOT / path).exists(), f"{source}: {path}"
            assert not anchor or anchor in anchors(ROOT / path), f"{source}: {path}#{anchor}"


def test_every_block_has_a_language_that_is_tested() -> None:
    assert {block.language for block in blocks()} <= LANGUAGES


def test_exit_codes_come_first_for_operators() -> None:
    assert headings(OPERATING)[1] == "Exit codes"


@pytest.mark.parametrize("decision", re.findall(r"^### (.+)$", section(DESIGN, "Decisions"), re.MULTILINE))
def test_a_decision_has_its_four_parts(decision: str) -> None:
    parts = re.findall(r"^- \*\*([\w ]+)\*\*: \S", section(DESIGN, decision), re.MULTILINE)
    assert parts == ["Context", "Choice", "Rejected", "Revisit when"]


def test_the_drawing_of_the_data_flow_is_the_same_everywhere() -> None:
    assert len({block.text for block in blocks("text") if block.text.startswith("poll")}) == 1
