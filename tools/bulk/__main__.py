"""Run the command as `python -m tools.bulk`."""

import sys

from tools.bulk.command import main

sys.exit(main())
