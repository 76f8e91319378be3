# Directives end at the first other line; a mark in a line is no comment.
# oracle: BuildKit
# error: FROM requires either one or three arguments

# escape=`
FROM corpus-base # 
