// Playgrounds and exercises: what is typed goes to Python in a worker, what comes back is shown. Without JavaScript or Python the
// page still shows the answer to the text that stands on it.
(() => {
  "use strict";
  const place = new URL("play/", document.currentScript.src);
  const LIMIT_MS = { show: 20000, check: 60000 };
  let worker = null;
  let isWarm = false;
  let count = 0;
  const waiting = new Map();

  function stop(reason) {
    worker?.terminate();
    worker = null;
    isWarm = false;
    for (const settle of waiting.values()) settle({ error: reason });
    waiting.clear();
  }

  function ask(request) {
    if (!worker) {
      worker = new Worker(new URL("worker.js", place), { type: "module" });
      worker.onmessage = ({ data }) => {
        isWarm = true;
        waiting.get(data.number)?.(data);
        waiting.delete(data.number);
        if (data.error) stop(data.error); // Python itself is broken: the next question gets a new one
      };
      worker.onerror = () => stop("Python could not be loaded from this site.");
    }
    const number = ++count;
    return new Promise((resolve) => {
      const limit = LIMIT_MS[request.do] + (isWarm ? 0 : 60000);
      const timer = setTimeout(() => stop(`Still computing after ${limit / 1000} seconds: a loop that never ends? Python was stopped.`), limit);
      waiting.set(number, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      worker.postMessage({ number, request });
    });
  }

  function say(output, text) {
    const line = document.createElement("p");
    line.className = "play-wait";
    line.textContent = text;
    output.replaceChildren(line);
  }

  function put(output, answer) {
    if (answer.error) say(output, answer.error);
    else output.innerHTML = answer.html; // made by our own Python, which escapes what the reader wrote
  }

  // Cells that are not what they were for the text that stands on the page: which cache keys moved?
  function compare(output, before) {
    const cells = output.querySelectorAll("td");
    const same = cells.length === before.length;
    cells.forEach((cell, place) => cell.classList.toggle("play-changed", same && cell.textContent !== before[place]));
  }

  function keepIndentation(event) {
    const area = event.target;
    if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const line = area.value.slice(0, area.selectionStart).split("\n").pop();
    const indent = line.match(/^\s*/)[0] + (/:\s*$/.test(line) ? "    " : "");
    area.setRangeText("\n" + indent, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  }

  function fit(area) {
    area.rows = Math.min(30, Math.max(3, area.value.split("\n").length + 1));
  }

  function live(box) {
    const area = box.querySelector("textarea");
    const output = box.querySelector(".play-output");
    const before = [...output.querySelectorAll("td")].map((cell) => cell.textContent);
    let isBusy = false;
    let shown = area.value;
    async function refresh() {
      if (isBusy || area.value === shown) return;
      isBusy = true;
      if (!isWarm) output.classList.add("play-loading");
      while (area.value !== shown) {
        shown = area.value;
        put(output, await ask({ do: "show", kind: box.dataset.kind, text: shown }));
        compare(output, before);
      }
      output.classList.remove("play-loading");
      isBusy = false;
    }
    area.addEventListener("input", () => {
      fit(area);
      refresh();
    });
    box.querySelector(".play-reset").addEventListener("click", () => {
      area.value = area.defaultValue;
      area.dispatchEvent(new Event("input"));
    });
  }

  function exercise(box) {
    const area = box.querySelector("textarea");
    const output = box.querySelector(".play-output");
    const check = box.querySelector(".play-check");
    const key = `minidocker:${box.dataset.id}`;
    area.value = localStorage.getItem(key) ?? area.defaultValue;
    fit(area);
    area.addEventListener("input", () => {
      fit(area);
      localStorage.setItem(key, area.value);
    });
    area.addEventListener("keydown", keepIndentation);
    check.addEventListener("click", async () => {
      check.disabled = true;
      say(output, isWarm ? "checking …" : "loading Python (once for each page) …");
      put(output, await ask({ do: "check", id: box.dataset.id, text: area.value }));
      check.disabled = false;
      box.dataset.solved = output.querySelector("p.play-pass") ? "yes" : "no";
    });
    box.querySelector(".play-reset").addEventListener("click", () => {
      if (area.value !== area.defaultValue && !confirm("Throw away what you wrote and start again?")) return;
      area.value = area.defaultValue;
      localStorage.removeItem(key);
      fit(area);
      output.replaceChildren();
    });
  }

  for (const box of document.querySelectorAll(".play")) {
    box.querySelectorAll("[hidden]").forEach((part) => (part.hidden = false));
    if (box.dataset.id) exercise(box);
    else live(box);
  }
})();
