# A misspelt instruction is named, with its line and what it should have been.
# oracle: BuildKit
# error: unknown instruction: RUNN (did you mean RUN?)

FROM corpus-base
RUNN echo
