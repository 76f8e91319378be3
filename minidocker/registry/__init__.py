"""Registry: where images live that more than one machine wants, and how they travel there and back over HTTP.

The invariant: content is asked for by digest and checked by whoever receives it, so it does not matter who sent it. Only tags
are believed. In reading order:

`names`        what a repository, a tag and a digest may look like
`documents`    manifests and indexes: which there are, which one is meant, what is refused
`protocol`     the small print of OCI distribution-spec 1.1: errors, ranges, pages
`endpoints`    which hosts to ask for a name, with or without TLS
`challenge`    401 and what to do about it
`connection`   one request to one host, with redirects
`session`      one repository on one host: authorization, retries
`transfer`     blobs of any size, there and back, resumed where they broke off
`htpasswd`, `bcrypt`    who may use our own registry
`storage`, `uploads`, `collection`    what our own registry keeps, and what it throws away
`server`       our own registry

Chapter 8.
"""
