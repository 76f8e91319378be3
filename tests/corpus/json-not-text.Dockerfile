# An array of anything but texts is an error.
# oracle: BuildKit
# error: arrays must be comprised of strings only

FROM corpus-base
CMD ["a", 1]
