# escape=`
# With a backtick as escape, a backslash is an ordinary character.
# oracle: BuildKit

FROM corpus-base
ENV path=C:\dir\ other=a` b
RUN echo one `
  two > /1
LABEL x="`"y`""
COPY a.txt /back`\slash
