"""Run the command as `python -m tools.picture_network`."""

import sys

from tools.measure.picture_network.command import main

sys.exit(main())
