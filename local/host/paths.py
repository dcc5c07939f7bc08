"""Path of a blob trigger: a container and a pattern for the blob's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["BlobPath"]

_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])*|\$root|\$web")
_TOKEN: Final = re.compile(
    r"(?P<escape>\{\{|\}\})|\{(?P<parameter>[^{}]*)\}|(?P<literal>[^{}]+)|(?P<stray>[{}])"
)
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w.\-]*")


@dataclass(frozen=True)
class BlobPath:
    """A parsed path; ``pattern`` is None when the path is a container alone, which takes all."""

    container: str
    pattern: re.Pattern[str] | None

    @classmethod
    def parse(cls, path: str) -> BlobPath:
        """Parse with the rules of the WebJobs SDK (BlobPathSource, BindingTemplateParser).

        Raises ValueError, which says what is wrong with the path.
        """
        container, slash, blob = path.partition("/")
        if "{" in container or "}" in container:
            raise ValueError("the container part of the path contains a pattern")
        if not _CONTAINER.fullmatch(container):
            raise ValueError(f"'{container}' is not a valid container name")
        if not slash:
            return cls(container, None)
        if not blob:
            raise ValueError("the path has nothing after the container")
        return cls(container, _compile(blob))

    def matches(self, blob: str) -> bool:
        """Whether a blob of this container belongs to the trigger; the case of letters counts."""
        return self.pattern is None or self.pattern.fullmatch(blob) is not None


def _compile(template: str) -> re.Pattern[str]:
    """A parameter takes anything, "/" too; doubled braces are literal ones."""
    parts: list[str] = []
    for token in _TOKEN.finditer(template):
        parameter = token["parameter"]
        if token["stray"]:
            raise ValueError(f"unbalanced '{token['stray']}' at position {token.start() + 1}")
        if token["escape"]:
            parts.append(re.escape(token["escape"][0]))
        elif token["literal"]:
            parts.append(re.escape(token["literal"]))
        elif _IDENTIFIER.fullmatch(parameter):
            parts.append(".*")
        else:
            raise ValueError(f"'{{{parameter}}}' is not a valid parameter name")
    return re.compile("".join(parts))
