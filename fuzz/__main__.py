"""``python -m fuzz``, and the script ``vqfuzz``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    try:
        from fuzz.cli import main as run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line took over
        return 130


if __name__ == "__main__":
    sys.exit(main())
