"""``python -m hmlcore``: the same as `hml`, where the script is not on the path."""

import sys

from hmlcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
