// Why this answer: a map of the evidence over the input, its sum, its test, and the smallest erasure that flips it.

import { Failure, Newest, encode, json, pathOf, post } from "./api.js";
import { decimal, fill, h, newId, percent, select, table } from "./dom.js";
import { keyOf } from "./models.js";
import { inputOf, paint, pixelCanvas, signed } from "./pixels.js";

const METHODS = {
  contribution: "Exact contributions", hirescam: "HiResCAM", gradcam: "Grad-CAM", gradient: "Gradient × input",
  integrated: "Integrated gradients", occlusion: "Occlusion",
};
const FINER = [4, 8, 14]; // windows along a side: a coarse map at once, then finer ones
const SVG = "http://www.w3.org/2000/svg";

/** The answer of the server to `explain`. */
export async function explain(model, blob, parameters, signal) {
  const query = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null)
    .map(([name, value]) => `${name}=${encode(value)}`).join("&");
  return (await post(`${pathOf(model)}/explain?${query}`, blob, { signal })).json();
}

/** The part of the picture that a cell of a map covers, in pixels: `{x, y, width, height}`. */
export function placeOf(map, y, x) {
  const { cells, field, height, width } = map;
  if (!field) {
    const [down, across] = [height / cells.length, width / cells[0].length];
    return { x: x * across, y: y * down, width: across, height: down };
  }
  const [step, start, size] = [field.step, field.start, field.size];
  // The middle of what the cell sees: neighbours overlap.
  return {
    x: start[1] + x * step[1] + (size[1] - step[1]) / 2, y: start[0] + y * step[0] + (size[0] - step[0]) / 2,
    width: step[1], height: step[0],
  };
}

export class Why {
  #asks = new Newest();
  #abort = null;
  #model = null;
  #blob = null;
  #methods = new Map(); // of each version: what /layers says
  #result = null;
  #parameters = {}; // of the request for it

  constructor() {
    const id = newId("why");
    this.method = select("Method", [["", "The best for this network"]], "", () => this.#again());
    this.versus = select("and not", [["", "any other"]], "", () => this.#again());
    this.canvas = pixelCanvas("Map of the evidence: nothing yet");
    this.words = h("p", { class: "words", role: "status", "aria-live": "polite" });
    this.sum = h("p", { class: "sum" });
    this.error = h("p", { class: "error", hidden: true });
    this.votes = h("div", {});
    this.more = h("div", { class: "more" });
    this.numbers = h("details", {}, h("summary", {}, "The map as numbers"), this.table = h("div", {}));
    const button = (text, action) => h("button", { type: "button", onclick: action }, text);
    this.body = h("div", { class: "why-body", hidden: true },
      h("div", { class: "fields" }, this.method.node, this.versus.node), this.error,
      h("div", { class: "answer-grid" }, h("div", { class: "got" }, this.canvas,
        h("p", { class: "muted" }, "Orange speaks for the label, blue against it.")),
      h("div", { class: "why-text" }, this.words, this.sum, this.votes,
        h("div", { class: "row" }, button("Test this map", () => this.#measure({ curves: true })),
          button("Flip it", () => this.#measure({ flip: true }))), this.more, this.numbers)));
    this.toggle = h("button", { type: "button", "aria-expanded": "false", "aria-controls": id, onclick: () => this.#open() }, "Why this answer?");
    this.body.id = id;
    this.node = h("section", { class: "card why", "aria-label": "Why this answer" }, h("div", { class: "row" }, this.toggle), this.body);
    this.node.hidden = true;
  }

  clear() {
    this.#blob = null;
    this.#abort?.abort();
    this.node.hidden = true;
  }

  leave() {
    this.#abort?.abort();
  }

  /** Explain a picture as soon as the visitor has opened this part. */
  ask(model, blob) {
    if (model !== this.#model) {
      this.method.control.replaceChildren(h("option", { value: "" }, "The best for this network"));
      this.versus.control.replaceChildren(h("option", { value: "" }, "any other"),
        ...model.labels.map((label, index) => h("option", { value: `#${index}` }, label)));
    }
    fill(this.votes);
    this.#model = model;
    this.#blob = blob;
    this.node.hidden = false;
    this.#again();
  }

  #open() {
    this.body.hidden = !this.body.hidden;
    this.toggle.setAttribute("aria-expanded", String(!this.body.hidden));
    this.#again();
  }

  #again() {
    this.#abort?.abort();
    if (this.body.hidden || !this.#blob) return;
    const [model, blob] = [this.#model, this.#blob];
    this.#asks.run(() => this.#explain(model, blob));
  }

  async #describe(model) {
    if (!this.#methods.has(keyOf(model))) this.#methods.set(keyOf(model), await json(`${pathOf(model)}/layers`));
    const { methods, best } = this.#methods.get(keyOf(model));
    if (this.method.control.options.length === 1) {
      this.method.control.append(...methods.filter(({ name }) => name in METHODS).map(({ name, offered, reason }) =>
        h("option", { value: name, disabled: !offered, title: reason }, offered ? METHODS[name] : `${METHODS[name]} (not offered)`)));
    }
    return this.method.control.value || best;
  }

  async #explain(model, blob) {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    try {
      const method = await this.#describe(model);
      const parameters = { method, versus: this.versus.control.value, others: 2 };
      const rounds = method === "occlusion" ? FINER.map((grid) => ({ ...parameters, grid })) : [parameters];
      const image = await inputOf(model, blob);
      await this.#vote(model, blob, signal);
      for (const round of rounds) {
        const result = await explain(model, blob, round, signal);
        if (blob !== this.#blob || model !== this.#model) return;
        this.#show(result, image);
        this.#parameters = round;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Failure)) throw error;
      this.error.hidden = false;
      this.error.textContent = error.status === 404 ? "This server does not explain its answers." : error.message;
    }
  }

  /** The answer of each column of an ensemble, in which those that dissent are marked. */
  async #vote(model, blob, signal) {
    const { columns, layers } = this.#methods.get(keyOf(model));
    if (!(columns > 1)) return;
    const votes = [];
    for (let column = 1; column <= columns; column += 1) {
      const last = layers.filter((layer) => layer.column === column).at(-1);
      if (!last) return;
      const { maps } = await explain(model, blob, { method: "maps", layer: last.name, format: "json" }, signal);
      const scores = maps.flat(2);
      votes.push(model.labels[scores.indexOf(Math.max(...scores))]);
    }
    if (blob !== this.#blob || model !== this.#model) return;
    const times = (vote) => votes.filter((each) => each === vote).length;
    const label = votes.reduce((most, vote) => (times(vote) > times(most) ? vote : most));
    fill(this.votes, h("h3", {}, "The columns"), h("ol", { class: "votes" }, votes.map((vote, index) =>
      h("li", { class: vote === label ? undefined : "dissent" }, `${index + 1}: ${vote}${vote === label ? "" : " (dissents)"}`))));
  }

  #show(result, image) {
    this.error.hidden = true;
    this.#result = { ...result, image };
    this.words.textContent = `${result.words.charAt(0).toUpperCase()}${result.words.slice(1)}.`;
    this.#draw(this.#result);
    const line = ({ label, score, base, cells }) => {
      const evidence = cells.flat().reduce((total, value) => total + value, 0);
      return result.exact ? `${label}: ${plus(evidence)} evidence ${plus(base)} bias = ${decimal(score, 2)}` : `${label}: ${decimal(score, 2)}`;
    };
    const kind = result.score_kind === "logit" ? "Before the softmax" : "As log-odds";
    fill(this.sum, h("span", { class: "muted" }, `${METHODS[result.method] ?? result.method}. ${kind}:`),
      [{ ...result, label: result.versus ? `${result.label} and not ${result.versus.label}` : result.label }, ...(result.others ?? [])]
        .map((each) => h("span", { class: "line" }, line(each))));
    fill(this.more);
    fill(this.table, table(`Evidence for ${result.label}`, [], result.cells.map((row) => row.map((value) => decimal(value, 3)))));
    this.canvas.setAttribute("aria-label", `Map of the evidence for ${result.label}: ${result.words}`);
  }

  #draw({ image, cells, flip, ...map }) {
    // The map is finer than the picture's pixels in places, so the picture is enlarged first.
    const scale = Math.max(1, Math.floor(448 / image.width));
    const base = document.createElement("canvas");
    paint(base, image);
    this.canvas.width = image.width * scale;
    this.canvas.height = image.height * scale;
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 0.55;
    context.drawImage(base, 0, 0, this.canvas.width, this.canvas.height);
    context.globalAlpha = 1;
    const most = Math.max(...cells.flat().map(Math.abs)) || 1;
    const place = { cells, height: image.height, width: image.width, field: map.field };
    cells.forEach((row, y) => row.forEach((value, x) => {
      const [red, green, blue, alpha] = signed(value / most);
      context.fillStyle = `rgb(${red} ${green} ${blue} / ${(0.8 * alpha) / 255})`;
      const at = placeOf(place, y, x);
      context.fillRect(at.x * scale, at.y * scale, at.width * scale, at.height * scale);
    }));
    if (!flip?.found) return;
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    const side = image.width / flip.grid;
    for (const [y, x] of flip.cells) context.strokeRect(x * side * scale, y * side * scale, side * scale, side * scale);
  }

  async #measure(what) {
    if (!this.#result) return;
    this.#abort?.abort(); // a finer map would take the place of the one that is measured
    const result = this.#result;
    fill(this.more, h("p", { class: "muted", role: "status" }, "Computing …"));
    try {
      const answer = await explain(this.#model, this.#blob, { ...this.#parameters, ...what });
      if (result !== this.#result) return;
      fill(this.more, what.curves ? plot(answer.curves) : this.#flipped(answer.flip));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      fill(this.more, h("p", { class: "error" }, error.message));
    }
  }

  #flipped(flip) {
    if (!flip.found) return h("p", {}, "No erasure of up to half of the picture changes the label.");
    this.#draw({ ...this.#result, flip });
    return h("p", {}, `Without ${percent(flip.fraction, 0)} of the picture, outlined in white, the network says `,
      h("strong", {}, flip.label), ` (${percent(flip.probability, 0)}).`);
  }
}

const plus = (value) => (value < 0 ? decimal(value, 2) : `+${decimal(value, 2)}`);

/** Deletion and insertion curves against those of a random map. */
function plot(curves) {
  const { fraction, deletion, insertion, random, area, trust } = curves;
  const draw = (values, name) => {
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", fraction.map((part, index) => `${(100 * part).toFixed(2)},${(60 - 58 * values[index]).toFixed(2)}`).join(" "));
    line.setAttribute("class", name);
    return line;
  };
  const chart = (title, own, other) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 62");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(draw(other, "other"), draw(own, "own"));
    return h("figure", {}, h("figcaption", {}, title), svg);
  };
  const trusts = { high: "The map beats a random one in both tests.", mixed: "The map beats a random one in one of two tests.",
    low: "The map is no better than a random one: do not trust it." };
  return h("div", { class: "plots" },
    h("p", {}, trusts[trust] ?? ""),
    chart("Erased first: falls faster than random (dotted)", deletion, random.deletion),
    chart("Shown first: rises faster than random (dotted)", insertion, random.insertion),
    table("Area under the curves", ["", "This map", "Random map"], [
      ["Deletion, lower is better", decimal(area.deletion, 3), decimal(area.random_deletion, 3)],
      ["Insertion, higher is better", decimal(area.insertion, 3), decimal(area.random_insertion, 3)]]));
}
