"""What makes the pages live: playgrounds, exercises that are solved in the browser, drawings made from the code's own tables.

`extension` runs while Sphinx builds; `playground` and `classroom` run in the reader's browser, under Pyodide, and call the real
code; `diagrams` draws. Everything comes from the site itself: no other host is asked for anything.
"""
