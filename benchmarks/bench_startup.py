"""How long the command line keeps a person waiting: `keelway --help` and `import keelway` against bare Python."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

from _figures import Figure, report

REPEATS = 15
AIM_HELP_MS = 150
AIM_MODULES = 150
COMMANDS = {
    "pass": ["-c", "pass"],
    "import": ["-c", "import keelway"],
    "help": ["-c", "import sys; from keelway.surfaces.cli import main; sys.exit(main())", "--help"],
}
COUNT_MODULES = "import sys; before = len(sys.modules); import keelway; print(len(sys.modules) - before)"


def environment() -> dict[str, str]:
    """Return the environment without the switch that forbids bytecode, which doubles the time of imports."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def milliseconds(arguments: list[str]) -> float:
    """Return how long one call of Python takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment(), check=True, capture_output=True)
    return (time.perf_counter() - begun) * 1000


def measure() -> list[Figure]:
    """Return the figures of the start-up, the calls taken in turns so that a busy moment hits all."""
    for arguments in COMMANDS.values():
        milliseconds(arguments)  # compiles bytecode, fills the file cache
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, arguments in COMMANDS.items():
            taken[name].append(milliseconds(arguments))
    bare, light, full = (median(taken[name]) for name in COMMANDS)
    counted = subprocess.run(
        [sys.executable, "-c", COUNT_MODULES], env=environment(), check=True, capture_output=True, text=True
    )
    to = "python -c pass"
    return [
        Figure("startup.python", bare, "ms"),
        Figure("startup.import_keelway", light, "ms", to, light / bare),
        Figure("startup.import_modules", int(counted.stdout), "modules", aim=f"<= {AIM_MODULES}"),
        Figure("startup.help", full, "ms", to, full / bare, f"< {AIM_HELP_MS} ms"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    report(measure(), parser.parse_args().json)


if __name__ == "__main__":
    main()
