"""``make cluster`` and ``make cluster-down``: a real Kubernetes of one node on this machine, to play with.

up       starts it in the background, or loads the newest image into the one that runs
down     ends it and removes what it kept
prepare  makes what takes minutes and is made once, for the tests that start one themselves
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # for ``support``, instead of this folder

from support.cluster_development import main  # noqa: E402  # found by the line above

sys.exit(main(sys.argv[1:]))
