"""Run the command as `python -m tools.evaluate`."""

import sys

from tools.measure.evaluate.command import main

sys.exit(main())
