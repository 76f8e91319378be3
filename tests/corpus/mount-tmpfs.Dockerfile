# A tmpfs is empty and gone.
# oracle: BuildKit

FROM corpus-base
RUN --mount=type=tmpfs,target=/opt/tree ls /opt/tree > /1 && echo x > /opt/tree/x
