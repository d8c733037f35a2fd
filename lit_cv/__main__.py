"""`python -m lit_cv` is the program `litcv`."""

import sys

from lit_cv.cli import main

sys.exit(main())
