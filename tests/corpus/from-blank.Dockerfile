# FROM whose variable is empty.
# oracle: BuildKit
# error: should not be blank

ARG image
FROM $image
RUN true
