"""``python -m scanplane.cli``."""

from scanplane.cli import main

main()
