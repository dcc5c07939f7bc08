"""HTML pages, parsed as by a browser."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]


class Page(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str, scripts: int = 1) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        #: Text by element name.
        self.texts: dict[str, str] = {}
        self._open = ""
        self.feed(text)
        self.close()
        # Only elements and attributes of the template are allowed.
        assert (self.elements.count("script"), self.elements.count("style")) == (scripts, 1)
        assert not {name for name, _ in self.attributes if name.startswith("on")}
        assert not {name for name, _ in self.attributes} & {"style", "src", "srcdoc"}
        assert not set(self.elements) & {"img", "iframe", "object", "embed", "base", "template"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data
