// The lines that ask the same from a shell, Python or JavaScript.

import { absolute, hasKey, pathOf } from "./api.js";
import { card, fill, h, segmented } from "./dom.js";

const LANGUAGES = [["curl", "curl"], ["python", "Python"], ["javascript", "JavaScript"]];

// A file name stands in quotes here, whatever characters it has.
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const quoted = (text) => JSON.stringify(text);

const WRITERS = {
  curl: (url, name, key) => [
    `curl --data-binary ${shell(`@${name}`)} \\`,
    "  -H 'Content-Type: application/octet-stream' \\",
    ...(key ? ['  -H "Authorization: Bearer $CONVSERVE_API_KEY" \\'] : []),
    `  ${shell(url)}`,
  ],
  python: (url, name, key) => [
    `import json${key ? ", os" : ""}`,
    "from urllib.request import Request, urlopen",
    "",
    `headers = {"Content-Type": "application/octet-stream"}`,
    ...(key ? ['headers["Authorization"] = "Bearer " + os.environ["CONVSERVE_API_KEY"]'] : []),
    `with open(${quoted(name)}, "rb") as file:`,
    `    request = Request(${quoted(url)}, file.read(), headers)`,
    "print(json.load(urlopen(request)))",
  ],
  javascript: (url, name, key) => [
    'import { readFile } from "node:fs/promises";',
    "",
    `const headers = { "Content-Type": "application/octet-stream" };`,
    ...(key ? ["headers.Authorization = `Bearer ${process.env.CONVSERVE_API_KEY}`;"] : []),
    `const body = await readFile(${quoted(name)});`,
    `const response = await fetch(${quoted(url)}, { method: "POST", headers, body });`,
    "console.log(await response.json());",
  ],
};

export class CodeLines {
  #language = "curl";
  #model = null;
  #name = "";

  constructor() {
    this.text = h("code");
    this.copied = h("span", { class: "muted", role: "status" });
    const { node } = segmented("Language", LANGUAGES, this.#language, (language) => {
      this.#language = language;
      this.#write();
    });
    this.node = card("The same from your program",
      h("div", { class: "row" }, node,
        h("button", { type: "button", class: "quiet", onclick: () => this.#copy() }, "Copy"), this.copied),
      h("pre", { tabindex: 0, "aria-label": "Source text" }, this.text));
    this.node.hidden = true;
  }

  show(model, name) {
    this.node.hidden = false;
    this.#model = model;
    this.#name = name;
    this.#write();
  }

  #write() {
    if (!this.#model) return;
    const url = absolute(`${pathOf(this.#model)}/classify?top_k=5`);
    fill(this.text, WRITERS[this.#language](url, this.#name, hasKey()).join("\n"));
    this.copied.textContent = "";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.text.textContent);
      this.copied.textContent = "Copied.";
    } catch {
      this.copied.textContent = "The browser does not allow it: select the text instead.";
    }
  }
}
