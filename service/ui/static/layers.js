// The layers of the chosen network: shapes, parameters, multiply-adds, kernels, feature maps, receptive fields.

import { encode, json, pathOf, send } from "./api.js";
import { card, decimal, fill, h, integer, select } from "./dom.js";
import { state, titleOf } from "./models.js";
import { inputOf, paint, paintGray, paintSigned, pixelCanvas, range } from "./pixels.js";
import { subject } from "./subject.js";
import { explain } from "./why.js";

const MOST_NUMBERS = 60_000; // of all maps of a layer in one answer
const MOST_MAPS = 64;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export class LayersView {
  #serial = 0;
  #column = "";
  #url = null;

  constructor() {
    this.note = h("p", { class: "muted", role: "status" });
    this.totals = h("dl", { class: "figures" });
    this.columns = select("Column", [], "", (value) => { this.#column = value; this.#list(); });
    this.list = h("ol", { class: "layers" });
    this.detail = h("div", { class: "layer-detail" });
    this.node = h("div", { class: "layers-page" },
      card("Layers", this.note, this.totals, this.columns.node, this.list), this.detail);
  }

  async enter() {
    const serial = (this.#serial += 1);
    this.model = state.chosen;
    if (!this.model) return;
    this.note.textContent = "Loading …";
    fill(this.detail);
    try {
      const answer = await json(`${pathOf(this.model)}/layers`);
      if (serial !== this.#serial) return;
      this.answer = answer;
      this.note.textContent = answer.layers.length ? `${titleOf(this.model)}, from the picture to the answer. Choose a layer to open it.`
        : answer.reason ?? "This version does not describe its layers.";
      fill(this.totals, [["Layers", answer.layers.length], ["Parameters", answer.parameters], ["Multiply-adds", answer.multiply_adds]]
        .filter(([, value]) => Number.isFinite(value))
        .map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, integer(value)))));
      this.columns.node.hidden = !(answer.columns > 1);
      this.#column = answer.columns > 1 ? "1" : "";
      this.columns.control.replaceChildren(...Array.from({ length: answer.columns ?? 1 }, (_, index) =>
        h("option", { value: String(index + 1) }, `${index + 1} of ${answer.columns}`)));
      this.#list();
    } catch (error) {
      if (serial !== this.#serial) return;
      this.answer = null;
      fill(this.list);
      fill(this.totals);
      this.columns.node.hidden = true;
      this.note.textContent = error.status === 404 ? "This server does not describe the layers of its networks." : error.message;
    }
  }

  leave() {
    this.#serial += 1;
    if (this.#url) URL.revokeObjectURL(this.#url);
  }

  #list() {
    const shown = this.answer.layers.filter(({ column }) => !this.#column || column === null || String(column) === this.#column);
    const most = Math.max(1, ...shown.map(({ multiply_adds: cost }) => cost ?? 0));
    fill(this.list, shown.map((layer) => h("li", {}, h("button", { type: "button", "aria-pressed": "false", onclick: (event) => {
      for (const each of this.list.querySelectorAll("button")) each.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", "true");
      this.#open(layer);
    } },
    h("strong", {}, layer.name),
    h("span", { class: "muted right" }, [capital(layer.kind), layer.kernel ? `${layer.kernel.join(" × ")}` : ""].filter(Boolean).join(" ")),
    h("span", { class: "shape" }, layer.shape.join(" × ")),
    h("span", { class: "muted right" }, layer.parameters ? `${integer(layer.parameters)} parameters` : ""),
    h("span", { class: "track" }, h("span", { class: "bar", style: { "--part": String((layer.multiply_adds ?? 0) / most) } }))))));
  }

  async #open(layer) {
    const serial = (this.#serial += 1);
    const current = () => serial === this.#serial;
    const picture = pixelCanvas("The input");
    const field = h("p", { class: "muted", role: "status" }, layer.field
      ? `Each unit sees ${layer.field.size.join(" × ")} pixels. Point at a map, or choose a unit.`
      : "Each unit sees the whole picture.");
    const maps = h("ul", { class: "maps" });
    const kernels = h("div", { class: "kernels" });
    const facts = [
      ["Shape", layer.shape.join(" × ")], ["Stride", layer.stride?.join(", ")], ["Padding", layer.padding?.join(", ")],
      ["Dilation", layer.dilation?.join(", ")], ["Groups", layer.groups > 1 ? layer.groups : null],
      ["Parameters", integer(layer.parameters ?? 0)], ["Multiply-adds", integer(layer.multiply_adds ?? 0)],
    ].filter(([, value]) => value !== undefined && value !== null);
    fill(this.detail, card(layer.name,
      h("dl", { class: "facts" }, facts.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, String(value))))),
      h("div", { class: "halves" }, h("div", { class: "seen" }, h("h3", {}, "Receptive field"), picture, field),
        h("div", {}, h("h3", {}, "Maps of your picture"), maps)), kernels));
    if (layer.kind === "convolution") this.#kernels(layer, kernels, current);
    if (!subject.blob) {
      fill(maps, h("li", { class: "muted" }, "Draw something, or drop a picture, under Classify first."));
      return;
    }
    try {
      const image = await inputOf(this.model, subject.blob);
      if (!current()) return;
      paint(picture, image);
      await this.#maps(layer, maps, current, (unit) => mark(picture, image, layer.field, unit, field));
    } catch (error) {
      if (current()) fill(maps, h("li", { class: "error" }, error.message));
    }
  }

  async #kernels(layer, parent, current) {
    try {
      const path = `${pathOf(this.model)}/layers?layer=${encode(layer.name)}`;
      if (layer.column === null && (layer.inputs ?? []).includes("input")) {
        const { weights } = await json(path);
        if (!current()) return;
        if (weights[0].length === 1) {
          fill(parent, h("h3", {}, "Kernels, learned"), kernelList(weights));
          return;
        }
      }
      const response = await send(`${path}&format=png`);
      if (!current()) return;
      if (this.#url) URL.revokeObjectURL(this.#url);
      this.#url = URL.createObjectURL(await response.blob());
      fill(parent, h("h3", {}, "Kernels, learned"), h("img", { src: this.#url, alt: `Kernels of ${layer.name}` }));
    } catch {
      // the layer has no kernels that can be drawn
    }
  }

  async #maps(layer, parent, current, onunit) {
    const [count, height = 1, width = 1] = layer.shape;
    const ask = (parameters) => explain(this.model, subject.blob, { method: "maps", layer: layer.name, format: "json", ...parameters });
    const numbers = count * height * width;
    let rows;
    if (height * width === 1) {
      rows = [[(await ask({})).maps.flat(2)]];
    } else if (numbers <= MOST_NUMBERS) {
      rows = (await ask({})).maps;
    } else {
      rows = [];
      for (let index = 0; index < Math.min(count, 16); index += 1) rows.push((await ask({ map: index })).maps[0]);
    }
    if (!current()) return;
    fill(parent, rows.slice(0, MOST_MAPS).map((map, index) => h("li", {}, this.#map(layer, map, index, onunit))));
    if (count > rows.length || count > MOST_MAPS) parent.append(h("li", { class: "muted" }, `${Math.min(rows.length, MOST_MAPS)} of ${count}`));
  }

  #map(layer, rows, index, onunit) {
    const canvas = pixelCanvas(`Map ${index + 1} of ${layer.name}`);
    const [low] = range(rows);
    if (low < 0) {
      canvas.classList.add("signs");
      paintSigned(canvas, rows);
    } else paintGray(canvas, rows);
    const at = { y: Math.floor(rows.length / 2), x: Math.floor(rows[0].length / 2) };
    const tell = () => onunit({ ...at, value: rows[at.y][at.x], map: index + 1 });
    const bound = (value, most) => Math.min(most - 1, Math.max(0, value));
    return h("button", {
      type: "button", "aria-label": `Map ${index + 1}: show what a unit sees; arrows choose the unit`, onclick: tell, onfocus: tell,
      onpointermove: (event) => {
        const box = canvas.getBoundingClientRect();
        at.x = bound(Math.floor(((event.clientX - box.left) / box.width) * rows[0].length), rows[0].length);
        at.y = bound(Math.floor(((event.clientY - box.top) / box.height) * rows.length), rows.length);
        tell();
      },
      onkeydown: (event) => {
        if (!event.key.startsWith("Arrow")) return;
        event.preventDefault();
        at.x = bound(at.x + (event.key === "ArrowRight") - (event.key === "ArrowLeft"), rows[0].length);
        at.y = bound(at.y + (event.key === "ArrowDown") - (event.key === "ArrowUp"), rows.length);
        tell();
      },
    }, canvas);
  }
}

/** The kernels of a convolution of one channel as pictures. */
export function kernelList(weights) {
  return h("ul", { class: "kernel-list" }, weights.map(([rows], index) => {
    const canvas = pixelCanvas(`Kernel ${index + 1}`);
    canvas.classList.add("signs");
    paintSigned(canvas, rows);
    return h("li", {}, canvas);
  }));
}

/** Draw the receptive field of a unit on the input. */
function mark(canvas, image, field, unit, words) {
  const scale = Math.max(1, Math.floor(448 / image.width));
  const base = document.createElement("canvas");
  paint(base, image);
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(base, 0, 0, canvas.width, canvas.height);
  const value = `Map ${unit.map}, unit in row ${unit.y + 1}, column ${unit.x + 1}: ${decimal(unit.value, 4)}.`;
  if (!field) {
    words.textContent = `${value} It sees the whole picture.`;
    return;
  }
  const [top, left] = [field.start[0] + unit.y * field.step[0], field.start[1] + unit.x * field.step[1]];
  const box = [left * scale, top * scale, field.size[1] * scale, field.size[0] * scale];
  for (const [width, color] of [[6, "#000"], [3, "#3ddbc9"]]) {
    context.lineWidth = width;
    context.strokeStyle = color;
    context.strokeRect(...box);
  }
  words.textContent = `${value} It sees ${field.size.join(" × ")} pixels.`;
}
