"""What a container, an image and a host configuration *are*: frozen records without behaviour.

Everything that is stored or crosses the Remote API is one of these. A record says nothing about how it came to be and
touches no I/O. Reading order: `record` (records and their JSON), `image`, `container`, `quantity` (sizes and durations).
"""
