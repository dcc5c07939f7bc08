"""Run one validator on one file in a process of its own: python -m bench.run_validator."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

from bench.validators import CONTENDERS


def main(name: str, path: str) -> None:
    run = CONTENDERS[name]()
    with open(path, "rb", buffering=1 << 20) as file:
        start = time.process_time()
        counts = run(file)
        seconds = time.process_time() - start
    print(json.dumps({**counts._asdict(), "seconds": seconds, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    if sys.platform == "linux":
        # Linux's ru_maxrss is at least that of the process that started this one.
        high = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        assert high
        return int(high[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*sys.argv[1:])
