// Python in the reader's browser: loads Pyodide and the book from beside this file, then answers one question after another.
import { loadPyodide } from "./pyodide.mjs";

const place = new URL("./", import.meta.url).href;
const ready = (async () => {
  const python = await loadPyodide({ indexURL: place });
  const book = await (await fetch(new URL("book.zip", place))).arrayBuffer();
  python.unpackArchive(book, "zip", { extractDir: "/book" });
  python.runPython("import sys; sys.path.insert(0, '/book'); sys.dont_write_bytecode = True; from docs.web.classroom import answer");
  return python.globals.get("answer");
})();

self.onmessage = async (event) => {
  const { number, request } = event.data;
  try {
    const answer = await ready;
    self.postMessage({ number, html: answer(JSON.stringify(request)) });
  } catch (error) {
    self.postMessage({ number, error: String(error) });
  }
};
