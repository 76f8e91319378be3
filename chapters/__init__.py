"""The learner's tool: `python3 -m chapters list|start|check|hint|explain|tests|reset|doctor`, and the machinery that keeps exercises sound.

Invariant: what a learner writes is never imported here. It runs in a worker, a process of its own that answers calls with plain
data, while the tests run in this one; so a submission can be wrong, but it cannot say that it was right.

Modules in reading order: `manifest` (what an exercise is), `stub` (take a body out, put one in), `variant` (whose bodies they
are), `examine` (look at a file without running it), `wire` (values as plain data), `worker` and `sandbox` (the two ends of the pipe), `plugin` (tests call through
it), `judge` (run the tests of an exercise), `soundness` (prove the exercises themselves), `table` and `catalogue` (the tests as a book),
`progress`, `desk`, `screen`, `merge` and `update`, `check`, `reading`, `commands`;
for instructors `confine` (a container for a worker), `grade`, `report`.
"""
