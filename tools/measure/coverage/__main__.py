"""Run the command as `python -m tools.coverage`."""

import sys

from tools.measure.coverage.command import main

sys.exit(main())
