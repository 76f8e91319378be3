# Who owns a directory that WORKDIR makes after USER.
# oracle: BuildKit

FROM corpus-base
USER app
WORKDIR /home/app/mine
WORKDIR deeper/still
