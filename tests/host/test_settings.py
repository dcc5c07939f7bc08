from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.host import SettingsError, load_settings
from local.host.settings import HostConfig


def test_values_are_read(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"IsEncrypted": False, "Values": {"A": "1"}}))
    assert load_settings(file) == {"A": "1"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{} // no", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", '"Values"'),
        ('{"IsEncrypted": true, "Values": {}}', "encrypted"),
        ('{"Values": {"B": 1, "A": {}}}', "put quotes around: A, B"),
    ],
)
def test_error_names_the_file(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=reason) as caught:
        load_settings(file)
    assert str(file) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.json: cannot be read"):
        load_settings(tmp_path / "nowhere.json")


def test_host_json_file_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_text('{"version": "2.0"}')
    config = HostConfig.load(file, {})
    assert (config.route_prefix, config.poison_blob_threshold) == ("api", 5)
    assert config.max_degree_of_parallelism >= 8
    assert not config.has_extension_bundle
