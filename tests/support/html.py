"""A parsed page: its tags, its text, and its tables."""

from __future__ import annotations

from html.parser import HTMLParser

from typing_extensions import override

_SILENT = {"style", "script", "title"}


class Page(HTMLParser):
    """A page: tags with their attributes, text, rows of cells by the caption of their table, and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.contents: dict[str, str] = {}
        self._parts: list[str] = []
        self._caption = ""
        self._inside: list[str] = []
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"meta", "link", "input"}:
            return
        self._inside.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in {"td", "th"}:
            self.tables[self._caption][-1].append("")

    @override
    def handle_data(self, data: str) -> None:
        for tag in _SILENT & set(self._inside) if "svg" not in self._inside else ():
            self.contents[tag] = self.contents.get(tag, "") + data
        if _SILENT.isdisjoint(self._inside):
            self._parts.append(data)
        if "caption" in self._inside:
            self._caption += data
        if {"td", "th"} & set(self._inside):
            self.tables[self._caption][-1][-1] += data

    @override
    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    @property
    def text(self) -> str:
        """The text, with single spaces."""
        return " ".join(" ".join(self._parts).split())

    @property
    def links(self) -> list[str]:
        """The addresses of the links."""
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]

    def names(self) -> list[str]:
        """Return the names of the tags."""
        return [name for name, _ in self.tags]

    def table(self, caption: str) -> dict[str, list[str]]:
        """Return the rows of the table with this caption by their first cell, without its head."""
        return {row[0]: row[1:] for row in self.tables[caption][1:]}
