"""The limits of this machine for the cases: what SQLite alone, or bare asyncio, takes for them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import common


def measure(case: str, arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the same figures as a peer's, as far as the case has a limit."""
    if case == "one_second":
        return {"wall": asyncio.run(common.bare_sleeps(arguments["count"], 1.0))}
    if case in ("sequential", "lone"):
        commits = common.RawCommits(folder / "raw.db")
        if case == "lone":
            return {"p50": common.median(3 / commits.rate(3) for _ in range(arguments["count"]))}
        rates = [commits.rate(arguments["calls"]) for _ in range(arguments["rounds"])]
        return {"cold": rates[0], "warm": common.median(rates[1:])}
    paths = {"store": str(folder / "a.db"), "raw": str(folder / "raw.db")}
    if case == "one_step":
        count = arguments["count"]
        found = common.child("one_step", count=count, in_flight=count, **paths)
    else:
        found = common.child(
            "many_calls", count=arguments["runs"], calls=arguments["calls"], **paths
        )
    return {"wall": found["raw_wall"]}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))))
