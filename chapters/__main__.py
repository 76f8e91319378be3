"""`python3 -m chapters`: the learner's tool."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # said in one sentence, before a syntax error says it in many
    sys.exit("chapters: needs Python 3.11 or newer, and this is " + sys.version.partition(" ")[0])

from chapters.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
