# The author of an image, as it was once written; and a signal to stop it.
# oracle: BuildKit

FROM corpus-base
MAINTAINER Some One <some@one.invalid>
STOPSIGNAL SIGQUIT
