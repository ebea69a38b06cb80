"""`python -m perdure.flink_agents JOB.py ARGS`: a script of Flink Agents, as it is."""

from __future__ import annotations

import os
import runpy
import sys

from perdure.errors import PerdureError
from perdure.flink_agents.installing import check_flink, install


def main(arguments: list[str]) -> int:
    """Run a script with `flink_agents` meaning what is here.

    Args:
        arguments: The script's path, and its own arguments.
    """
    if not arguments or not os.path.isfile(arguments[0]):
        named = f"there is no file {arguments[0]!r}" if arguments else "no script is named"
        sys.stderr.write(f"perdure.flink_agents: {named}: python -m perdure.flink_agents JOB.py\n")
        return 2
    try:
        install()
        sys.argv = arguments
        script = os.path.abspath(arguments[0])  # what `__file__` is of a script that Python runs
        sys.path.insert(0, os.path.dirname(script))
        try:
            runpy.run_path(script, run_name="__main__")
        except ModuleNotFoundError as error:
            check_flink(error, arguments[0])
            raise
    except PerdureError as error:
        sys.stderr.write(f"perdure.flink_agents: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
