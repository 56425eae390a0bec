"use strict";
const element = (id) => document.getElementById(id);
const address = (content, type) => URL.createObjectURL(new Blob([content], { type }));
const wasm = Uint8Array.from(atob(element("wasm").textContent), (letter) => letter.charCodeAt(0));
const worker = address(element("worker").textContent, "text/javascript");
let running;

const say = (words, kind = "") => {
  element("said").textContent = words;
  element("said").className = kind;
};

// What each end of the command means: docs/audit.md.
const ENDS = [
  ["Nothing is false, and nothing is missing.", "ok"],
  ["Something is false: the report says what.", "bad"],
  ["This folder is no export that can be checked.", "bad"],
  ["Nothing was found to be false, but something is missing and could not be checked.", "lacks"],
];

const show = ({ code, page, json }) => {
  const [words, kind] = ENDS[code];
  say(code === 2 ? `${words} ${page}` : words, kind);
  document.body.dataset.code = code;
  document.body.dataset.json = json;
  if (code === 2) return;
  element("html").href = address(page, "text/html");
  element("json").href = address(json, "application/json");
  element("report").srcdoc = page;
  element("save").hidden = element("report").hidden = false;
};

const start = () => {
  const chosen = [...element("folder").files];
  if (chosen.length === 0) return;
  // Names below the folder that was chosen, whatever that is called.
  const files = new Map(chosen.map((file) => {
    const name = file.webkitRelativePath || file.name;
    return [name.slice(name.indexOf("/") + 1), file];
  }));
  const how = document.querySelector("input[name=how]:checked").value;
  const parts = Math.min(1e6, Math.max(1, Math.floor(element("parts").valueAsNumber) || 1));
  running?.terminate();
  delete document.body.dataset.code;
  element("save").hidden = element("report").hidden = true;
  say(`Checking ${chosen.length} files.`);
  running = new Worker(worker);
  running.onerror = (event) => say(`The program could not be started: ${event.message}`, "bad");
  running.onmessage = ({ data }) => {
    if (data.at) return say(`Checking ${data.at}.`);
    running.terminate();
    if (data.failed) return say(`The program failed, and nothing is known of this folder: ${data.failed}`, "bad");
    show(data);
  };
  running.postMessage({ wasm, files, sample: how === "sample" ? parts : 0, bodies: how !== "none" });
};

element("folder").addEventListener("change", start);
for (const choice of document.querySelectorAll("fieldset input")) choice.addEventListener("change", start);
