"""Deployed packages have permissive licences only; see docs/security.md, Policies."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from local.stack import ROOT

#: As packages spell them. The Mozilla licence applies to changes of its own files only.
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
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    licences = {
        item["Name"].lower().replace("_", "-"): item["License"] for item in json.loads(output)
    }
    assert licences.keys() == packages
    others = {
        name: licence
        for name, licence in licences.items()
        if not ALLOWED & set(re.split(r" OR |; ", licence))
    }
    assert others == {}
