"""Images: a stack of layers, each a tar archive of changes, and a configuration that says how to run them.

Invariant: everything is found by the digest of its bytes. A name points to a manifest, the manifest to a configuration and to
layers, the configuration to the digests of the unpacked layers; so whoever holds the name's digest can check all of it. At rest
the store is an OCI image layout, beside it one directory for each unpacked layer.

Reading order:

- `layer`: the identity of a layer on top of others (ChainID), and its directory
- `extract`: a layer's archive becomes files, on directory descriptors, never by path
- `diff`: what a container changed in its image's files
- `pack`: changes, or a whole tree, become an archive
- `commit`: an image with one more layer
- `readahead`: the next pieces of a layer are made while the last ones are written
- `layout`: the OCI image layout on disk: blobs and the index
- `ingest`: how new content enters the store: temporary name, check, rename; or nothing at all
- `store`: the images by id, name and prefix; tags; removal
- `archive`: `docker save` and `docker load`
- `importer`: `docker import`

Chapter 3.
"""
