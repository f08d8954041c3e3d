// One convolution, ReLU and pooling, unit by unit, on the example of the slides or on the visitor's own pixels.

import { json, pathOf, post } from "./api.js";
import { EXAMPLE, FIXED, convolve, patchAt, pool, product, relu, unitsAlong } from "./convolution.js";
import { card, decimal, fill, h, number, segmented, select } from "./dom.js";
import { GridView } from "./gridview.js";
import { state, titleOf } from "./models.js";
import { channel, inputOf } from "./pixels.js";
import { subject } from "./subject.js";

const PLAY_MS = 650;
const MOST_LEARNED = 32; // kernels that the list offers
const MOST_SIDE = 64; // of an input whose cells can still be told apart

export class StepView {
  #source = "example";
  #stage = "convolution";
  #pixels = null; // of the visitor's picture: a list of channels
  #kernels = [FIXED.diagonal.rows];
  #bias = 0;
  #channel = 0;
  #learned = null; // { layer, weights, bias, maps }
  #options = { stride: 1, padding: 0, dilation: 1 };
  #pooling = { kernel: 2, stride: 2, kind: "max" };
  #unit = { y: 0, x: 0 };
  #timer = 0;
  #visited = false;
  #serial = 0;
  #check = null; // whether the network's own activations are equal
  #scale = 1; // of the pixels, before a learned kernel

  constructor() {
    this.source = segmented("Picture", [["example", "5 × 5 example"], ["yours", "Your picture"]], "example", (value) => {
      this.#source = value;
      this.#load();
    });
    this.stage = segmented("Operation", [["convolution", "Convolution"], ["relu", "ReLU"], ["pooling", "Pooling"]], "convolution",
      (value) => { this.#stage = value; this.#unit = { y: 0, x: 0 }; this.#update(); });
    this.kernel = select("Kernel", [], "fixed:diagonal", (value) => this.#choose(value));
    this.channel = select("Channel", [["0", "1"]], "0", (value) => { this.#channel = Number(value); this.#update(); });
    const option = (label, key, min, max) => number(label, this.#options[key], min, max, (value) => {
      this.#options = { ...this.#options, [key]: value };
      this.#check = null; // it was of other options
      this.#update();
    });
    this.stride = option("Stride", "stride", 1, 4);
    this.padding = option("Padding", "padding", 0, 4);
    this.dilation = option("Dilation", "dilation", 1, 4);
    this.size = number("Window", 2, 2, 4, (value) => { this.#pooling.kernel = value; this.#update(); });
    this.poolStride = number("Stride", 2, 1, 4, (value) => { this.#pooling.stride = value; this.#update(); });
    this.kind = select("Kind", [["max", "Maximum"], ["average", "Average"]], "max", (value) => {
      this.#pooling.kind = value;
      this.#update();
    });
    this.input = new GridView("Input", (cell) => this.#pickInput(cell));
    this.output = new GridView("Output", (cell) => this.#go(cell));
    this.note = h("p", { class: "muted", role: "status" });
    this.math = h("div", { class: "math" });
    this.sum = h("p", { class: "sum", role: "status", "aria-live": "polite" });
    this.formula = h("p", { class: "formula" });
    this.position = h("span", { class: "muted" });
    this.play = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggle() }, "Play");
    const move = (text, label, y, x) =>
      h("button", { type: "button", "aria-label": label, onclick: () => this.#go({ y: this.#unit.y + y, x: this.#unit.x + x }) }, text);
    this.moves = h("div", { class: "row" },
      move("←", "Unit to the left", 0, -1), move("→", "Unit to the right", 0, 1),
      move("↑", "Unit above", -1, 0), move("↓", "Unit below", 1, 0), this.play, this.position);
    this.convolutionFields = h("div", { class: "row end" }, this.kernel.node, this.channel.node, this.stride.node, this.padding.node,
      this.dilation.node);
    this.poolingFields = h("div", { class: "row end" }, this.kind.node, this.size.node, this.poolStride.node);
    this.node = h("div", { class: "steps" },
      h("div", { class: "row" }, this.source.node, this.stage.node),
      card("Step by step", this.convolutionFields, this.poolingFields, this.note,
        h("div", { class: "flow" },
          h("figure", {}, this.inputTitle = h("figcaption", {}, "Input"), this.input.canvas),
          h("div", { class: "middle" }, this.math, this.sum),
          h("figure", {}, this.outputTitle = h("figcaption", {}, "Output"), this.output.canvas)),
        this.moves, this.formula));
    this.#fillKernels();
  }

  enter() {
    this.#load();
  }

  leave() {
    this.#stop();
  }

  /** Read the pixels that the chosen model gets, and the kernels of its first convolution if they are served. */
  async #load() {
    const serial = (this.#serial += 1);
    this.#learned = null;
    if (this.#source === "yours") {
      if (!subject.blob || !state.chosen) {
        this.note.textContent = "Draw something, or drop a picture, under Classify first. The example stands in for it.";
        this.#pixels = null;
      } else {
        try {
          const image = await inputOf(state.chosen, subject.blob);
          if (serial !== this.#serial) return;
          const count = state.chosen.input.channels;
          this.#pixels = Array.from({ length: count }, (_, index) => channel(image, index));
          this.note.textContent = `The pixels that ${titleOf(state.chosen)} gets, from 0 to 255.`;
          if (image.width > MOST_SIDE) this.note.textContent += " Cells are small: their numbers stand in the middle.";
          await this.#loadLearned(serial);
        } catch (error) {
          this.#pixels = null;
          this.note.textContent = error.message;
        }
      }
    } else {
      this.note.textContent = "An image of zeros and ones: the kernel counts how much of its X each place contains.";
      this.#pixels = null;
    }
    if (serial !== this.#serial) return;
    this.#fillKernels();
    const all = [...this.kernel.control.options].map(({ value }) => value);
    this.#choose(all.includes(this.kernel.control.value) ? this.kernel.control.value : all[0]);
  }

  async #loadLearned(serial) {
    try {
      const { layers } = await json(`${pathOf(state.chosen)}/layers`);
      const layer = layers.find((each) => each.kind === "convolution");
      if (!layer || layer.groups > 1 || new Set(layer.padding).size > 1) return;
      const { weights, bias } = await json(`${pathOf(state.chosen)}/layers?layer=${encodeURIComponent(layer.name)}`);
      if (serial === this.#serial && weights) this.#learned = { layer, weights, bias, blob: subject.blob, model: state.chosen };
    } catch {
      // this server, or this version, does not tell its layers: the fixed kernels remain
    }
  }

  #fillKernels() {
    const chosen = this.kernel.control.value;
    const gray = this.#channels().length === 1;
    const fixed = Object.entries(FIXED).map(([key, { title }]) => [`fixed:${key}`, title]);
    const learned = (this.#learned?.weights ?? []).slice(0, MOST_LEARNED)
      .map((_, index) => [`learned:${index}`, `${this.#learned.layer.name}, kernel ${index + 1}`]);
    const list = [...learned, ...fixed, ...(gray ? [["own", "Your own numbers"]] : [])];
    this.kernel.control.replaceChildren(...list.map(([value, text]) => h("option", { value }, text)));
    const first = learned.length && !chosen.startsWith("learned:") && this.#source === "yours" && !this.#visited;
    if (first) this.#visited = true; // the network's own kernels are what a visitor came for
    const wanted = first ? learned[0][0] : chosen || "fixed:diagonal";
    this.kernel.control.value = list.some(([value]) => value === wanted) ? wanted : list[0][0];
  }

  #channels() {
    return this.#pixels ?? [EXAMPLE];
  }

  #choose(value) {
    const [kind, name] = value.split(":");
    this.#bias = 0;
    this.#check = null;
    if (kind === "fixed") {
      // A kernel of one channel looks at the channel that is shown.
      this.#kernels = [FIXED[name].rows];
    } else if (kind === "learned") {
      const { layer, weights, bias } = this.#learned;
      this.#kernels = weights[name];
      this.#bias = bias?.[name] ?? 0;
      this.#options = { stride: layer.stride[0], padding: layer.padding[0], dilation: layer.dilation[0] };
      for (const key of ["stride", "padding", "dilation"]) this[key].control.value = String(this.#options[key]);
      this.#compare(Number(name));
    } else {
      this.#kernels = [this.#kernels[0].map((row) => [...row])];
    }
    const count = this.#channels().length;
    this.#channel = Math.min(this.#channel, count - 1);
    const names = count === 3 ? ["Red", "Green", "Blue"] : Array.from({ length: count }, (_, index) => String(index + 1));
    this.channel.control.replaceChildren(...names.map((text, index) => h("option", { value: String(index) }, text)));
    this.channel.control.value = String(this.#channel);
    this.channel.node.hidden = count === 1;
    this.#unit = { y: 0, x: 0 };
    if (this.#pixels) this.#seek();
    this.#update();
  }

  /** Begin where the map is strongest, and not in an empty corner. */
  #seek() {
    let most = 0;
    this.#stages().convolved?.forEach((row, y) => row.forEach((value, x) => {
      if (Math.abs(value) > most) [most, this.#unit] = [Math.abs(value), { y, x }];
    }));
  }

  /** Compare the map computed here with the network's own activations. */
  async #compare(index) {
    const learned = this.#learned;
    try {
      const path = `${pathOf(learned.model)}/explain?method=maps&layer=${encodeURIComponent(learned.layer.name)}&map=${index}&format=json`;
      const { maps } = await (await post(path, learned.blob)).json();
      if (learned !== this.#learned || this.kernel.control.value !== `learned:${index}`) return;
      const theirs = maps.length === 1 ? maps[0] : maps[index];
      const difference = (scale) => {
        const ours = convolve(scaled(this.#channels(), scale), this.#kernels, this.#bias, this.#options);
        return Math.max(...ours.flatMap((row, y) => row.map((value, x) => Math.abs(value - theirs[y][x]))));
      };
      // A graph divides its pixels by 255 in a step of its own, or in the weights of its first convolution.
      const [scale, error] = [1, 1 / 255].map((each) => [each, difference(each)]).sort((a, b) => a[1] - b[1])[0];
      const most = Math.max(...theirs.flat().map(Math.abs)) || 1;
      this.#scale = scale;
      if (scale !== 1) this.note.textContent = `The pixels that ${titleOf(learned.model)} gets, divided by 255 as the network does.`;
      this.#check = { equal: error <= 1e-3 * most, error };
      this.#update();
    } catch {
      this.#check = null;
    }
  }

  /** The stages of the chosen operation: what goes in and what comes out. */
  #stages() {
    const learned = this.kernel.control.value.startsWith("learned:");
    const all = scaled(this.#channels(), learned ? this.#scale : 1);
    const channels = this.#kernels.length === 1 ? [all[this.#channel]] : all;
    const size = this.#kernels[0].length;
    const fits = unitsAlong(channels[0].length, { ...this.#options, kernel: size }) > 0
      && unitsAlong(channels[0][0].length, { ...this.#options, kernel: size }) > 0;
    const convolved = fits ? convolve(channels, this.#kernels, this.#bias, this.#options) : null;
    return { channels, convolved, rectified: convolved && relu(convolved) };
  }

  #update() {
    const { channels, convolved, rectified } = this.#stages();
    this.convolutionFields.hidden = this.#stage !== "convolution";
    this.poolingFields.hidden = this.#stage !== "pooling";
    fill(this.math);
    if (!convolved) {
      this.sum.textContent = "The kernel does not fit into the input: choose less dilation or more padding.";
      this.output.show([[0]]);
      fill(this.formula);
      return;
    }
    if (this.#stage === "convolution") this.#showConvolution(channels, convolved);
    else if (this.#stage === "relu") this.#showRelu(convolved, rectified);
    else this.#showPooling(rectified);
  }

  #bound(rows) {
    this.#unit.y = Math.min(rows.length - 1, Math.max(0, this.#unit.y));
    this.#unit.x = Math.min(rows[0].length - 1, Math.max(0, this.#unit.x));
    this.current = rows;
    this.position.textContent = `Row ${this.#unit.y + 1} of ${rows.length}, column ${this.#unit.x + 1} of ${rows[0].length}`;
    return this.#unit;
  }

  #showConvolution(channels, convolved) {
    const unit = this.#bound(convolved);
    const shown = channels.length === 1 ? 0 : this.#channel;
    const kernel = this.#kernels[shown];
    const size = kernel.length;
    const patch = patchAt(channels[shown], size, unit, this.#options);
    const { padding, dilation, stride } = this.#options;
    this.inputTitle.textContent = `Input, ${channels[shown].length} × ${channels[shown][0].length}`;
    this.outputTitle.textContent = `Output, ${convolved.length} × ${convolved[0].length}`;
    const marks = dilation === 1
      ? [{ ...corner(patch), height: size, width: size }]
      : patch.flat().map(({ y, x }) => ({ y, x }));
    this.input.show(channels[shown], { margin: padding, marks, signs: channels[shown].flat().some((value) => value < 0) });
    this.output.show(convolved, { marks: [unit], signs: convolved.flat().some((value) => value < 0) });
    fill(this.math, this.#productTable(patch, kernel));
    const here = product(patch, kernel);
    const others = convolved[unit.y][unit.x] - here - this.#bias;
    const parts = [decimal(here, 4)];
    if (channels.length > 1) parts.push(`${decimal(others, 4)} of the other channels`);
    if (this.#bias) parts.push(`bias ${decimal(this.#bias, 4)}`);
    fill(this.sum, "Sum of the products: ", parts.length > 1 ? `${parts.join(" + ")} = ` : "",
      h("strong", {}, decimal(convolved[unit.y][unit.x], 4)));
    this.#showFormula(channels[shown].length, size, padding, dilation, stride, convolved.length);
    if (this.#check) {
      this.formula.append(h("span", { class: this.#check.equal ? "check-ok" : "error" }, this.#check.equal
        ? `Equal to the network's own activations: they differ by at most ${this.#check.error.toExponential(1)}.`
        : `The network's own activations differ by ${this.#check.error.toExponential(1)}: other numbers were chosen here.`));
    }
  }

  #productTable(patch, kernel) {
    const own = this.kernel.control.value === "own";
    const cell = ({ value }, i, j) => h("td", {},
      h("span", { class: "pixel" }, decimal(value, 2)), " × ",
      own ? h("input", { type: "number", step: "any", class: "weight", value: String(kernel[i][j]),
        "aria-label": `Weight in row ${i + 1}, column ${j + 1}`, onchange: (event) => {
          kernel[i][j] = Number(event.target.value) || 0;
          this.#update();
        } }) : h("span", { class: "weight" }, decimal(kernel[i][j], 3)));
    return h("table", { class: "products" }, h("caption", {}, "Pixel × weight"),
      h("tbody", {}, patch.map((row, i) => h("tr", {}, row.map((each, j) => cell(each, i, j))))));
  }

  #showFormula(n, k, p, d, s, units) {
    fill(this.formula,
      h("span", {}, "Size: ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1"),
      h("span", {}, ` = ⌊(${n} + 2·${p} − ${d}·(${k} − 1) − 1) / ${s}⌋ + 1 = `, h("strong", {}, String(units))));
  }

  #showRelu(convolved, rectified) {
    const unit = this.#bound(rectified);
    const value = convolved[unit.y][unit.x];
    this.inputTitle.textContent = "The convolution's output";
    this.outputTitle.textContent = "After ReLU";
    this.input.show(convolved, { marks: [unit], signs: convolved.flat().some((each) => each < 0) });
    this.output.show(rectified, { marks: [unit] });
    fill(this.sum, `max(0, ${decimal(value, 4)}) = `, h("strong", {}, decimal(rectified[unit.y][unit.x], 4)));
    fill(this.formula, "ReLU keeps what is above zero and sets the rest to zero. The size stays the same.");
  }

  #showPooling(rectified) {
    const { kernel, stride, kind } = this.#pooling;
    if (rectified.length < kernel || rectified[0].length < kernel) {
      this.input.show(rectified);
      this.output.show([[0]]);
      this.sum.textContent = "The window does not fit into the input.";
      fill(this.formula);
      return;
    }
    const pooled = pool(rectified, this.#pooling);
    const unit = this.#bound(pooled);
    const patch = patchAt(rectified, kernel, unit, { stride, padding: 0, dilation: 1 });
    this.inputTitle.textContent = "After ReLU";
    this.outputTitle.textContent = `Output, ${pooled.length} × ${pooled[0].length}`;
    this.input.show(rectified, { marks: [{ ...corner(patch), height: kernel, width: kernel }] });
    this.output.show(pooled, { marks: [unit] });
    const values = patch.flat().map(({ value }) => decimal(value, 2)).join(", ");
    fill(this.sum, `${kind === "max" ? "Largest" : "Average"} of ${values}: `, h("strong", {}, decimal(pooled[unit.y][unit.x], 4)));
    this.#showFormula(rectified.length, kernel, 0, 1, stride, pooled.length);
  }

  #pickInput({ y, x }) {
    const stride = this.#stage === "relu" ? 1 : this.#stage === "pooling" ? this.#pooling.stride : this.#options.stride;
    const reach = this.#stage === "convolution"
      ? this.#options.padding - Math.floor((this.#options.dilation * (this.#kernels[0].length - 1)) / 2) : 0;
    this.#go({ y: Math.floor((y + reach) / stride), x: Math.floor((x + reach) / stride) });
  }

  #go(unit) {
    this.#unit = { ...unit };
    this.#update();
  }

  #toggle() {
    if (this.#timer) {
      this.#stop();
      return;
    }
    this.play.textContent = "Pause";
    this.play.setAttribute("aria-pressed", "true");
    this.#timer = setInterval(() => {
      const { y, x } = this.#unit;
      const last = x + 1 >= this.current[0].length;
      this.#go(last ? { y: (y + 1) % this.current.length, x: 0 } : { y, x: x + 1 });
    }, PLAY_MS);
  }

  #stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.play.textContent = "Play";
    this.play.setAttribute("aria-pressed", "false");
  }
}

const corner = (patch) => ({ y: patch[0][0].y, x: patch[0][0].x });
const scaled = (channels, scale) => (scale === 1 ? channels
  : channels.map((rows) => rows.map((row) => row.map((value) => value * scale))));
