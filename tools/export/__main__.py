"""Run the command as `python -m tools.export`."""

import sys

from tools.export.command import main

sys.exit(main())
