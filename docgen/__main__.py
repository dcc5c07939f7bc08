"""Write every generated file."""

from __future__ import annotations

from docgen import mapping, openapi, settings

settings.PAGE.write_text(settings.page())
openapi.PATH.write_text(openapi.text())
mapping.PATH.write_text(mapping.text())
