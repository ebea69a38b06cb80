"""Runs one agent of `tests.promises.agents`; prints its outputs and failures as JSON."""

from __future__ import annotations

import json
import sys

import tests.promises.agents as agents

from perdure import LocalEngine, PerdureError, RunsFailedError


def main() -> None:
    """Do what the JSON in the first argument says."""
    spec = json.loads(sys.argv[1])
    engine = LocalEngine(spec["store"], config=spec["config"])
    agent = getattr(agents, spec["agent"])
    failed = []
    error = None
    try:
        outputs = engine.run(agent, spec["inputs"], **{"key": "k", **spec["options"]})
    except RunsFailedError as runs:
        outputs, failed = runs.outputs, [info.error for info in runs.failed]
    except PerdureError as refused:
        outputs, error = [], f"{type(refused).__name__}: {refused}"
    except KeyboardInterrupt:
        outputs, error = [], "KeyboardInterrupt"
    print(json.dumps({"outputs": [o.value for o in outputs], "failed": failed, "error": error}))


main()
