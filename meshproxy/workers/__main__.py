"""`python -m meshproxy.workers FD NUMBER`: a worker process; compiled modules as in the sidecar."""

import sys

from meshproxy._speedups import finder

if __name__ == "__main__":
    finder.install()
    from meshproxy.workers.process import main

    sys.exit(main())
