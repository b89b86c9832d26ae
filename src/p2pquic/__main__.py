"""`python -m p2pquic` is the command `p2pquic`."""

import sys

from p2pquic.cli import main

sys.exit(main())
