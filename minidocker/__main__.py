"""`python3 -m minidocker`: the client, and with `daemon` (or the program name `minidockerd`) the server."""

from __future__ import annotations

import sys

from minidocker.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
