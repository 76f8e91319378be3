"""Certificates for TLS, made by the standard library alone: who a server is, and who may use it.

The invariant: a private key is written once, readable by its owner only, and never leaves the directory it was made in.

Reading order: `ed25519` (signatures), `der` (how certificates are written down), `x509` (what is in one), `authority` (a certificate
authority with one server and one client, as files). Chapter 20.
"""
