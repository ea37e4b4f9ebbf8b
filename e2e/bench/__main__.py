"""`python -m e2e.bench`."""

import sys

from e2e.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
