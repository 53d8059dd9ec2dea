"""Run the command as `python -m tools.evaluate_photos`."""

import sys

from tools.measure.evaluate_photos.command import main

sys.exit(main())
