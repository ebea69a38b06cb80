"""The command `perdure`, and `python -m perdure`.

Loading the command line takes a while. This module loads nothing before it can heed Ctrl-C.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command line; Ctrl-C ends it without a traceback while it is loaded, too.

    Returns:
        The exit code.
    """
    try:
        from perdure.cli.main import main as run

        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        _end_at_once_if_asked_again()
    return code


def _end_at_once_if_asked_again() -> None:
    """Let another Ctrl-C end the process where it stands: nothing is left but its exit."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
