"""The client: `docker`'s command line, spoken to the Remote API over a socket.

Its one rule: start fast. A command pays for what it uses, so `commands` maps words to modules, only the module of the
command that was called is imported, and nothing here imports `dataclasses`, `typing`, `re`, `argparse` or `subprocess`
before it needs them (annotations stay text, which is why every module begins with the `annotations` import).

Reading order: `commands` (the table), `main`, `flags`, `session` over `minidocker.client`; then `run_flags` and `run` with `stream`,
`terminal` and `signals`; then `template` and `table` with the commands that only print. Runs on Linux, macOS and
Windows; `daemon` alone needs Linux. Chapter 14.
"""
