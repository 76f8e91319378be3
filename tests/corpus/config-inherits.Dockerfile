# What a base image says stays unless it is said again.
# oracle: BuildKit

FROM corpus-base AS one
ENV a=1
USER app
WORKDIR /w
EXPOSE 1
VOLUME /v
ENTRYPOINT ["e"]
CMD ["c"]
LABEL x=y
FROM one
ENV b=2
EXPOSE 2
LABEL base=no
