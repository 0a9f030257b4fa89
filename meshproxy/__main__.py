"""`python -m meshproxy`: the sidecar. Compiled modules are found before anything imports their sources."""

import sys

from meshproxy._speedups import finder

if __name__ == "__main__":
    state = finder.install()
    from meshproxy.main import main

    sys.exit(main(state))
