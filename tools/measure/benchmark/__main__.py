"""Run the command as `python -m tools.benchmark`."""

import sys

from tools.measure.benchmark.command import main

sys.exit(main())
