"""Run the command as `python -m tools.own_classes`."""

import sys

from tools.train.own_classes.command import main

sys.exit(main())
