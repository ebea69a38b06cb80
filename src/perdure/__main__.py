"""The command `perdure`, and `python -m perdure`.

Loading the command line takes a while. This module loads nothing before it can heed Ctrl-C.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command line; Ctrl-C ends it without a traceback while it is loaded, too.

    Returns:
        The exit code.
    """
    try:
        _open_what_is_closed()
        from perdure.cli.main import main as run

        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        _end_at_once_if_asked_again()
    return code


def _open_what_is_closed() -> None:
    """Have all three standard streams: as /dev/null where the process was started without.

    Else the next file that is opened, the store perhaps, would be the standard output.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest: this number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _end_at_once_if_asked_again() -> None:
    """Let another Ctrl-C end the process where it stands: nothing is left but its exit."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
