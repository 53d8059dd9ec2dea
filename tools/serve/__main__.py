"""Runs the command by `python -m`."""

import sys

from tools.serve.command import main

sys.exit(main())
