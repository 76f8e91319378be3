"""The builder: a Dockerfile, some files and a cache become an image.

Rule: **what a step gives depends on nothing but its key**: the state before it, what it says after expansion, and the content of
what it reads. The order to read them in:

- `request`: what a build is asked for
- `stages`: the stages as a graph; those that the target does not need are left out
- `state`: what an instruction does to the configuration, and what is left to be carried out
- `history`: how the image remembers it
- `key`: when a step need not be carried out again, and why it must
- `cache`: results by key
- `tree`, `content`, `copy`: COPY and ADD, below open directories
- `progress`: what people and programs are told
- `solve`: all of it together, against what the engine offers (`Workshop`)

Chapter 10.
"""
