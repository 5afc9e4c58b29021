"""What a run is executed on, and how busy it keeps that: by psutil where it is installed, else by the standard library."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from keelway.train.code_state import installed_packages
from keelway.train.tracking.record import Machine

LIBRARIES = (
    "keelway",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "duckdb",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
    "torch",
    "optuna",
    "skops",
    "onnx",
    "skl2onnx",
)
"""Libraries whose version decides how a model comes out."""
MEGABYTE = 1 << 20


def machine() -> Machine:
    """Return what this process runs on."""
    packages = installed_packages()
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=platform.machine(),
        cpus=_cpus(),
        memory_bytes=_memory_bytes(),
        python=".".join(map(str, sys.version_info[:3])),
        libraries={name: packages[name] for name in LIBRARIES if name in packages},
    )


def requirements() -> tuple[str, ...]:
    """Return every installed package as `name==version`, sorted."""
    return tuple(f"{name}=={version}" for name, version in sorted(installed_packages().items()))


def system_meter() -> Callable[[], dict[str, float]]:
    """Return a function that measures processor and memory since it was called last, under MLflow's names.

    Percentages are of all processors together; memory is in MiB (MLflow calls them megabytes).
    """
    before = [time.perf_counter(), time.process_time()]
    whole_machine = _machine_meter()

    def measure() -> dict[str, float]:
        now, spent = time.perf_counter(), time.process_time()
        elapsed = max(now - before[0], 1e-9)
        used = 100 * (spent - before[1]) / elapsed / _cpus()
        before[:] = now, spent
        return {
            "system/process_cpu_utilization_percentage": round(used, 2),
            "system/process_memory_usage_megabytes": round(_process_bytes() / MEGABYTE, 1),
            **whole_machine(),
        }

    return measure


def _machine_meter() -> Callable[[], dict[str, float]]:
    """Return what measures the whole machine, which only psutil can."""
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return dict
    psutil.cpu_percent(None)

    def measure() -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": float(psutil.cpu_percent(None)),
            "system/system_memory_usage_megabytes": round(memory.used / MEGABYTE, 1),
            "system/system_memory_usage_percentage": float(memory.percent),
        }

    return measure


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):  # not everywhere known
        return 0


def _process_bytes() -> int:
    """Return the memory of this process: what it holds now where that can be read, else the most it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
