"""Volumes: directories that outlive containers.

A volume is `volumes/NAME/_data` below the data root, with one JSON record beside it. A volume nobody named gets 64
hexadecimal digits and goes away with its container under `--rm` or `rm -v`. Module: `store`. Chapter 11.
"""
