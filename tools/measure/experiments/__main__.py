"""Run the command as `python -m tools.experiments`."""

import sys

from tools.measure.experiments.command import main

sys.exit(main())
