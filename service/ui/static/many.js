// A grid of many pictures: each is a request of its own, so one that cannot be read spoils no other.

import { Failure, pathOf, post } from "./api.js";
import { card, fill, h, percent } from "./dom.js";
import { setSubject } from "./subject.js";

const AT_ONCE = 4;
const MOST = 400;

export class Many {
  #round = 0;

  constructor() {
    this.grid = h("ul", { class: "grid" });
    this.status = h("p", { class: "muted", role: "status" });
    this.node = card("Your pictures", this.status, this.grid);
    this.node.hidden = true;
    this.files = [];
  }

  clear() {
    this.#round += 1;
    this.node.hidden = true;
    for (const { url } of this.files) URL.revokeObjectURL(url);
    this.files = [];
    fill(this.grid);
  }

  /** Show files, and ask `model` about each. */
  async show(files, model) {
    this.clear();
    this.node.hidden = false;
    this.files = [...files].slice(0, MOST).map((file) => {
      const url = URL.createObjectURL(file);
      const result = h("span", { class: "result" }, "…");
      const image = h("img", { src: url, alt: "", loading: "lazy", decoding: "async", onerror: () => image.remove() });
      const button = h("button", { type: "button", onclick: () => setSubject(file, file.name) },
        h("span", { class: "thumb" }, image), h("span", { class: "file" }, file.name), result);
      this.grid.append(h("li", {}, button));
      return { file, url, result };
    });
    await this.ask(model);
    if (files.length > MOST) this.status.textContent += ` Only the first ${MOST} are shown.`;
  }

  /** Ask a model about all pictures again. */
  async ask(model) {
    if (this.files.length === 0) return;
    const round = (this.#round += 1);
    const waiting = [...this.files];
    let done = 0;
    let failed = 0;
    const work = async () => {
      for (let each = waiting.shift(); each && round === this.#round; each = waiting.shift()) {
        if (!(await this.#one(each, model))) failed += 1;
        done += 1;
        if (round === this.#round) this.status.textContent = words(done, this.files.length, failed);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async #one({ file, result }, model) {
    try {
      const { predictions: [prediction] } = await (await post(`${pathOf(model)}/classify?top_k=1`, file)).json();
      result.className = "result";
      fill(result, h("strong", {}, prediction.label), ` ${percent(prediction.probability)}`);
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      result.className = "result error";
      result.textContent = error.message;
      return false;
    }
  }
}

function words(done, count, failed) {
  const errors = failed ? `, ${failed} could not be read` : "";
  return done < count ? `${done} of ${count} answered${errors} …` : `${count} answered${errors}.`;
}
