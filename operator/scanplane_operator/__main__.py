"""``python -m scanplane_operator``: see ``docs/design/0006-operator.md`` for its environment."""

import sys

from scanplane_operator.process import main

if __name__ == "__main__":
    sys.exit(main())
