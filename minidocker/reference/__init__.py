"""Image names: `registry.example:5000/team/app:1.0@sha256:…`.

Rule: a `Reference` that exists is valid and complete; what people leave out (`docker.io`, `library`, `latest`) is filled in
when it is parsed, once, at the edge. Reading order: `reference` (the grammar),
`resolve` (which image a name means). Pure. Chapter 6.
"""

from minidocker.reference.reference import InvalidReference, Reference, parse_reference

__all__ = ["InvalidReference", "Reference", "parse_reference"]
