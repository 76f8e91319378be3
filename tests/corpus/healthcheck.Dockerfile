# Times and retries; the last one counts.
# oracle: BuildKit

FROM corpus-base
HEALTHCHECK CMD ["never"]
HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=5s --retries=4 CMD test -e / || exit 1
