"""`python -m multirouter` is the command `multirouter`."""

from __future__ import annotations

import sys

from multirouter.cli import main

sys.exit(main())
