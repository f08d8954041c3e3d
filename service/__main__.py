"""`python -m service`: the same as the command `convserve`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
