"""Write every generated document."""

from __future__ import annotations

from docgen import settings

settings.PAGE.write_text(settings.page())
