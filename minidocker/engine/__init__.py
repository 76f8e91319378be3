"""The engine: Docker's verbs, each a module of functions over the concept packages.

`engine` holds the shared state and opens it; `store` keeps the records of containers; `monitors` talks to the processes. Then
one module for each verb: `create`, `start`, `stop`, `remove`, `wait`, `attach`, `logs`, `exec`; and one for each other noun:
`images`, `volumes`, `networks`, `events`, `system`. Functions take the `Engine` first and a reference (id, prefix or name)
second; they raise `minidocker.errors`. Only this package composes concepts; the server is a thin layer over it. Chapter 11.
"""
