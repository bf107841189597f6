"""``make bench``: Scanplane beside the original, on servers that it starts itself; ``python tests/bench --help``.

Each part is a process of its own with an end in time, and each starts what it needs and ends it, so that nothing of one part
is in the way of the next. Both sides of a comparison are measured in turns within one part.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # for ``bench`` and ``support``, instead of this folder

from bench.command import main  # noqa: E402  # found by the line above

sys.exit(main())
