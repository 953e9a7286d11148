"""`python -m benchmarks.cli`: the same as `vrnn-bench`."""

import sys

from benchmarks.cli.entry import main

sys.exit(main())
