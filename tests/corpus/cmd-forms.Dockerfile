# Shell form, array, and the array that is none: single quotes.
# oracle: BuildKit

FROM corpus-base
CMD ['a', "b"]
