"""Run the command as `python -m tools.plot_training`."""

import sys

from tools.train.plot_training.command import main

sys.exit(main())
