// The fixed kernels as pictures on the visitor's picture, computed by the served model `filters`.

import { encode, json, pathOf, send } from "./api.js";
import { card, decimal, fill, h } from "./dom.js";
import { FIXED } from "./convolution.js";
import { paintGray, paintSigned, pixelCanvas, shrunk } from "./pixels.js";
import { kernelList } from "./layers.js";
import { state, titleOf } from "./models.js";
import { subject } from "./subject.js";

const SIDE = 224; // to which the picture is shrunk
const LENGTH = "Inference-Header-Content-Length";
const WORDS = {
  edges: "Zero where the picture is even. What changes stays: orange where it is lighter than around, blue where darker.",
  sharpened: "The picture plus its edges.",
  gaussian: "A weighted mean: near pixels count more.",
  smoothed: "A mean over the neighbours, in which the pixel itself counts twice.",
};

/** Maps of the model for a picture: `{name: rows}`. Over the Open Inference Protocol, with binary numbers. */
async function mapsOf(model, blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const { name: input } = model.input;
  const head = new TextEncoder().encode(JSON.stringify({
    inputs: [{ name: input, shape: [1], datatype: "BYTES", parameters: { binary_data_size: bytes.length + 4 } }],
    outputs: [{ name: model.output.name, parameters: { binary_data: true } }],
  }));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length, true);
  const response = await send(`v2/models/${encode(model.name)}/versions/${encode(model.version)}/infer`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream", [LENGTH]: String(head.length) },
    body: new Blob([head, length, bytes]),
  });
  const body = await response.arrayBuffer();
  const at = Number(response.headers.get(LENGTH));
  const { outputs: [{ shape: [, height, width, count] }] } = JSON.parse(new TextDecoder().decode(body.slice(0, at)));
  const numbers = new Float32Array(body.slice(at));
  return Object.fromEntries(model.labels.map((label, index) => [label, Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (__, x) => numbers[(y * width + x) * count + index]))]));
}

export class FiltersView {
  #serial = 0;

  constructor() {
    this.note = h("p", { class: "muted", role: "status" });
    this.list = h("ul", { class: "filters" });
    this.node = card("Fixed kernels on your picture", this.note, this.list,
      this.learned = h("div", { class: "kernels" }));
  }

  async enter() {
    const serial = (this.#serial += 1);
    const model = state.models.filter((each) => each.output.kind === "maps" && each.labels.includes("edges")).at(-1);
    fill(this.list);
    fill(this.learned);
    if (!model) {
      this.note.textContent = "The model filters is not served here.";
      return;
    }
    if (!subject.blob) {
      this.note.textContent = "Draw something, or drop a picture, under Classify first.";
      return;
    }
    this.note.textContent = "Computing …";
    try {
      const maps = await mapsOf(model, await shrunk(subject.blob, SIDE));
      if (serial !== this.#serial) return;
      this.note.textContent = "These kernels are fixed by hand. A network learns its own in the same way of computing.";
      for (const [name, rows] of Object.entries(maps)) this.list.append(this.#item(name, rows));
      await this.#showLearned(serial);
    } catch (error) {
      this.note.textContent = error.message ?? "The browser cannot read this picture.";
    }
  }

  /** The kernels of the chosen network beside the fixed ones, if its version describes its layers. */
  async #showLearned(serial) {
    const network = state.chosen;
    const { layers } = await json(`${pathOf(network)}/layers`);
    const first = layers.find(({ kind }) => kind === "convolution");
    if (!first) return;
    const { weights } = await json(`${pathOf(network)}/layers?layer=${encode(first.name)}`);
    if (serial !== this.#serial || !weights || weights[0].length !== 1) return;
    fill(this.learned, h("h3", {}, `What ${titleOf(network)} has learned in its first layer: orange adds, blue subtracts`), kernelList(weights));
  }

  #item(name, rows) {
    const fixed = FIXED[name];
    const canvas = pixelCanvas(`Map of the kernel ${fixed?.title ?? name}`);
    canvas.classList.add("smooth");
    if (name === "edges") canvas.classList.add("signs");
    if (name === "edges") paintSigned(canvas, rows);
    else paintGray(canvas, rows, 0, 255);
    return h("li", {}, h("h3", {}, fixed?.title ?? name), canvas,
      h("p", { class: "muted" }, WORDS[name] ?? ""),
      fixed ? h("table", { class: "products" }, h("caption", { class: "hidden" }, `Weights of ${fixed.title}`),
        h("tbody", {}, fixed.rows.map((row) => h("tr", {}, row.map((value) => h("td", {}, decimal(value, 3))))))) : null);
  }
}
