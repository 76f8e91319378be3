# But not one that this stage set before it; the shell form is wrapped.
# oracle: BuildKit

FROM corpus-base
CMD ["c"]
ENTRYPOINT exec "$0"
