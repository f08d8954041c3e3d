// One version's answer to one picture: the input, the labels with bars, and the time of each stage.

import { Failure, Newest, pathOf, post, timings } from "./api.js";
import { decimal, fill, h, newId, percent, table } from "./dom.js";
import { titleOf } from "./models.js";
import { inputOf, paint, pixelCanvas } from "./pixels.js";

const TOP = 10;
const STAGES = { decode: "Decode", queue: "Queue", compute: "Compute", rest: "Network and page" };

export class Answer {
  #answers = new Newest();
  #inputs = new Newest();
  #round = 0; // of the pictures; answers to those before the last `clear` come too late

  /** `onanswer(model, prediction)` is called after each answer. */
  constructor(onanswer = () => {}) {
    this.onanswer = onanswer;
    this.model = null;
    this.ranked = [];
    const heading = newId("answer");
    this.title = h("h2", { id: heading }, "Answer");
    this.label = h("p", { class: "label" }, "–");
    this.sure = h("p", { class: "sure" });
    this.bars = h("ol", { class: "bars" });
    this.picture = pixelCanvas("What the network got: nothing yet");
    this.size = h("p", { class: "muted" });
    this.times = h("div", { class: "times" });
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.node = h("section", { class: "card answer", "aria-labelledby": heading },
      this.title, this.error,
      h("div", { class: "answer-grid" },
        h("div", { class: "got" }, h("h3", {}, "What the network got"), this.picture, this.size),
        h("div", { class: "said" }, this.label, this.sure, this.bars)),
      this.times);
  }

  use(model) {
    this.model = model;
    this.title.textContent = model ? titleOf(model) : "Answer";
  }

  clear() {
    this.#round += 1;
    this.#answers.clear();
    this.#inputs.clear();
    this.ranked = [];
    this.error.hidden = true;
    this.label.textContent = "–";
    this.sure.textContent = "Draw something, or drop a picture.";
    fill(this.bars);
    fill(this.times);
    this.picture.width = this.picture.height = 1;
    this.picture.classList.add("none");
    this.size.textContent = "";
  }

  /** Ask about a picture. While a request is in flight, only the newest picture waits. Resolves with the answer. */
  ask(blob) {
    const model = this.model;
    if (!model || !blob) return undefined;
    this.#inputs.run(() => this.#input(model, blob));
    return this.#answers.run(() => this.#classify(model, blob));
  }

  async #classify(model, blob) {
    const begun = performance.now();
    const round = this.#round;
    try {
      const response = await post(`${pathOf(model)}/classify?top_k=${TOP}`, blob);
      const [prediction] = (await response.json()).predictions;
      if (model !== this.model || round !== this.#round || this.#answers.outdated) return;
      this.#show(prediction);
      this.#showTimes(timings(response), performance.now() - begun);
      this.error.hidden = true;
      this.onanswer(model, prediction);
    } catch (error) {
      if (round === this.#round) this.#fail(error);
    }
  }

  async #input(model, blob) {
    const round = this.#round;
    try {
      const image = await inputOf(model, blob);
      if (model !== this.model || round !== this.#round || this.#inputs.outdated) return;
      this.picture.classList.remove("none");
      paint(this.picture, image);
      const colors = model.input.channels === 1 ? "gray" : "colour";
      this.size.textContent = `${image.width} × ${image.height} pixels, ${colors}`;
      this.picture.setAttribute("aria-label", `What the network got: ${this.size.textContent}`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error; // the same sentence as the answer's
    }
  }

  #show(prediction) {
    const ranked = prediction.top_k;
    this.ranked = ranked;
    this.label.textContent = prediction.label;
    this.sure.textContent = percent(prediction.probability);
    // The rows are kept, so that the bars move from one answer to the next.
    while (this.bars.children.length > ranked.length) this.bars.lastChild.remove();
    while (this.bars.children.length < ranked.length) {
      this.bars.append(h("li", {}, h("span", { class: "name" }), h("span", { class: "track" }, h("span", { class: "bar" })),
        h("span", { class: "value" })));
    }
    ranked.forEach(({ label, probability }, index) => {
      const row = this.bars.children[index];
      const [name, track, value] = row.children;
      name.textContent = label;
      name.title = label;
      track.firstChild.style.setProperty("--part", String(probability ?? 0));
      value.textContent = percent(probability);
    });
  }

  #showTimes(stages, total) {
    const known = stages.reduce((sum, [, ms]) => sum + ms, 0);
    const all = [...stages, ["rest", Math.max(0, total - known)]];
    fill(this.times,
      h("h3", {}, `${decimal(total, 1)} ms`),
      h("div", { class: "stack", "aria-hidden": "true" }, all.map(([stage, ms]) =>
        h("span", { class: `stage ${stage}`, style: { "flex-grow": String(ms / total) } }))),
      h("dl", { class: "legend" }, all.map(([stage, ms]) =>
        h("div", {}, h("dt", { class: stage }, STAGES[stage] ?? stage), h("dd", {}, `${decimal(ms, 2)} ms`)))));
  }

  #fail(error) {
    if (!(error instanceof Failure)) throw error;
    this.clear();
    this.sure.textContent = "";
    this.error.hidden = false;
    this.error.textContent = error.message;
  }

  /** The ranked labels as a table, for the reader of a screen. */
  get table() {
    return table("Probabilities", ["Label", "Probability"],
      this.ranked.map(({ label, probability }) => [label, percent(probability, 4)]));
  }
}
