"""A copy of the checkout that tests may modify."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.package.publishing import copy_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy_checkout(tmp_path / "checkout")
    return tmp_path / "checkout"
