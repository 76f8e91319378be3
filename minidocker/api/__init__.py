"""The Remote API: Docker's HTTP interface over the engine.

Every Docker client (the command line, docker-py, compose, this project's own `cli`) speaks to an engine in HTTP requests
over a unix socket or TCP. This package is a thin layer: it finds the handler, reads the request, calls one function of
`minidocker.engine`, and gives its result the JSON shape that clients know.

    socket ─▶ server ─▶ connection ─▶ application ─▶ router ─▶ handler(engine, request) ─▶ engine
                            ▲                                        │
                            └──── answer: Response, StreamResponse or Hijack ◀────┘

- `listener` opens sockets; `server` accepts, one thread for each connection; `connection` carries messages
- `application` turns errors into answers; `router` finds handlers; `routes` is the whole table
- `request` and `response` are values: what came, and the three kinds of answers
- `streams` makes bodies that grow: progress, waiting, logs
- `system`, `containers`, `exec`, `images`, `volumes`, `networks` hold the handlers
- `render_*` are pure: records to Docker's JSON

Rule: a handler returns an answer and never writes to the connection, so that it can be tested without one.
See the Docker Engine API reference. Chapter 12.
"""
