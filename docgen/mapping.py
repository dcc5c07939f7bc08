"""Generate docs/mapping.schema.json from the model of a mapping."""

from __future__ import annotations

import json
from pathlib import Path

from shared.device_files.mapping.document import MappingDocument

PATH = Path(__file__).parents[1] / "docs/mapping.schema.json"


def text() -> str:
    """The JSON schema, for editors that complete and check mappings."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **MappingDocument.model_json_schema(by_alias=True),
    }
    return f"{json.dumps(schema, indent=2)}\n"
