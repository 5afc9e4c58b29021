"""A small project whose data comes late: each month's orders become known on the second day of the next month.

root = late_shop(tmp_path / "shop")
app = App.open(root, clock=SimulatedClock(datetime(2025, 1, 1, tzinfo=UTC)))
app.data.ingest()
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

MONTHS, DAYS = 6, 28


def late_shop(root: Path, *, customers: int = 40) -> Path:
    """Write the project that `keelway init` writes, with one estimator, labels of 14 days, no tracker, and its orders."""
    from keelway.surfaces.cli.start import equip
    from keelway.template import write_project

    write_project(root, "shop")
    equip(root)
    toml, code = root / "keelway.toml", root / "src" / "shop" / "project.py"
    toml.write_text(toml.read_text("utf8").replace('"sqlite:.keelway/mlflow.db"', '""'), "utf8")
    declared = code.read_text("utf8")
    boosting = declared[declared.index('        Estimator("boosting"') : declared.index("    ],\n    cuts=")]
    code.write_text(declared.replace(boosting, "").replace('horizon="90d"', 'horizon="14d"'), "utf8")
    for month in range(1, MONTHS + 1):
        rows = [
            f"o{month:02d}{day:02d}{customer},c{customer:03d},{date(2024, month, day)},{customer + 1}"
            for day in range(1, DAYS + 1)
            for customer in range(customers)
            if (day * customer) % 37 == month
        ]
        path = root / "raw" / "orders" / f"{month:02d}.csv"
        path.write_text("\n".join(["order_id,customer_id,order_date,amount", *rows]) + "\n", "utf8")
        known = datetime(2024, month + 1, 2, tzinfo=UTC).timestamp()
        os.utime(path, (known, known))
    return root
