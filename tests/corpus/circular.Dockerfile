# A stage cannot be made of itself.
# oracle: BuildKit
# options: --target two
# error: two: refers to a stage that comes later

FROM corpus-base AS one
COPY --from=two /etc/group /1
FROM one AS two
