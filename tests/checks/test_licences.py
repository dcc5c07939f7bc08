"""No licence of what is deployed binds who deploys it; docs/security.md states the policy."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from local.stack import ROOT

#: As packages write them. The Mozilla licence binds only who changes its files.
ALLOWED = {
    "Apache Software License",
    "Apache-2.0",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT License",
    "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "PSF-2.0",
}


def test_licences() -> None:
    pins = (ROOT / "requirements.txt").read_text()
    packages = set(re.findall(r"^([\w.-]+)==", pins, re.M))
    command = [sys.executable, "-m", "piplicenses", "--format", "json", "--packages", *packages]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    licences = {
        one["Name"].lower().replace("_", "-"): one["License"] for one in json.loads(told.stdout)
    }
    assert licences.keys() == packages
    others = {
        name: licence
        for name, licence in licences.items()
        if not ALLOWED & set(re.split(r" OR |; ", licence))
    }
    assert others == {}
