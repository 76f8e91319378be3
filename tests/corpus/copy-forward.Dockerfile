# A stage that comes later cannot be copied from.
# oracle: BuildKit
# options: --target one
# error: two: refers to a stage that comes later

FROM corpus-base AS one
COPY --from=two /etc/group /
FROM corpus-base AS two
