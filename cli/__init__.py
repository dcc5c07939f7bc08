"""Commands for operators: what the API offers, at a shell, on the storage account itself."""

from __future__ import annotations
