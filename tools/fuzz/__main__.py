"""Run an action as `python -m tools.fuzz ACTION`."""

import sys

from tools.fuzz.command import main

sys.exit(main())
