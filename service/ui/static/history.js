// What the visitor has asked during this visit. Nothing is kept beyond it.

import { card, fill, h, percent } from "./dom.js";
import { titleOf } from "./models.js";
import { setSubject, subject } from "./subject.js";

const MOST = 24;

export class History {
  #entries = [];

  /** `onopen(entry)` is called before an entry becomes the subject again. */
  constructor(onopen) {
    this.onopen = onopen;
    this.list = h("ul", { class: "history" });
    this.node = card("This visit", this.list);
    this.node.hidden = true;
  }

  add(model, prediction) {
    const { blob, name, strokes, serial } = subject;
    const known = this.#entries.findIndex((each) => each.serial === serial && each.title === titleOf(model));
    if (known >= 0) this.#drop(known);
    this.#entries.unshift({
      blob, name, strokes, serial, title: titleOf(model), url: URL.createObjectURL(blob),
      label: prediction.label, probability: prediction.probability,
    });
    while (this.#entries.length > MOST) this.#drop(this.#entries.length - 1);
    this.node.hidden = false;
    fill(this.list, this.#entries.map((entry) => h("li", {}, h("button", {
      type: "button",
      "aria-label": `${entry.name}: ${entry.label}, ${percent(entry.probability)}, by ${entry.title}`,
      onclick: () => {
        this.onopen(entry);
        setSubject(entry.blob, entry.name, entry.strokes);
      },
    }, h("img", { src: entry.url, alt: "" }), h("strong", {}, entry.label), h("span", { class: "muted" }, entry.title)))));
  }

  #drop(index) {
    const [entry] = this.#entries.splice(index, 1);
    URL.revokeObjectURL(entry.url);
  }
}
