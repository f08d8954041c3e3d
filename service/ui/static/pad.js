// A square to draw on, with pointer or keyboard. Drawings are kept as lines, so they can be undone and centred.

import { h } from "./dom.js";
import { DIGITS } from "./samples.js";

const SIDE = 252; // of the picture that is sent, and of the canvas: small enough to be decoded without a thread
const CELLS = 28; // of the cursor's grid
const WIDTH = 0.082; // of a line, as a part of the side
const INK_PART = 0.72; // of the side that a centred drawing fills: 20 of 28 pixels, as in MNIST
const MIN_STEP = 0.004;

export class Pad {
  #strokes = [];
  #current = null;
  #color = "#000";
  #cursor = { x: 14, y: 14, shown: false, down: false };

  /** `onchange` is called after each change of the drawing. */
  constructor(onchange) {
    this.onchange = onchange;
    this.centre = true;
    this.canvas = h("canvas", {
      class: "pad", width: SIDE, height: SIDE, tabindex: 0, role: "application",
      "aria-label": "Drawing area",
      "aria-describedby": "pad-help",
      onpointerdown: (event) => this.#begin(event),
      onpointermove: (event) => this.#move(event),
      onpointerup: () => this.#end(),
      onpointercancel: () => this.#end(),
      onkeydown: (event) => this.#key(event),
      onfocus: () => this.#show(this.canvas.matches(":focus-visible")),
      onblur: () => this.#show(false),
    });
    // Not on the graphics card: the pictures are small, and reading them back would take longer than drawing.
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.draw());
    }
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  get strokes() {
    return this.#strokes;
  }

  set strokes(strokes) {
    this.#strokes = strokes;
    this.draw();
    this.onchange();
  }

  undo() {
    this.strokes = this.#strokes.slice(0, -1);
  }

  clear() {
    this.strokes = [];
  }

  /** Empty the pad without telling anybody: another picture has taken its place. */
  forget() {
    this.#strokes = [];
    this.#current = null;
    this.draw();
  }

  sample(digit) {
    this.strokes = DIGITS[digit];
  }

  /** The drawing as a PNG, dark on white; centred by its weight and brought to MNIST's size if wanted. */
  async blob() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    lines(context, this.centre ? centred(this.#strokes) : this.#strokes, "#000");
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  }

  draw() {
    const { context } = this;
    const style = getComputedStyle(this.canvas);
    context.clearRect(0, 0, SIDE, SIDE);
    this.#color = style.color;
    lines(context, this.#strokes, style.color);
    if (this.#cursor.shown) {
      const cell = SIDE / CELLS;
      context.lineWidth = 2;
      context.strokeStyle = style.accentColor === "auto" ? style.color : style.accentColor;
      const { x, y, down } = this.#cursor;
      context.strokeRect(x * cell - cell / 2, y * cell - cell / 2, 2 * cell, 2 * cell);
      if (down) context.strokeRect(x * cell, y * cell, cell, cell);
    }
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.#show(false);
    this.#current = [this.#point(event)];
    this.#strokes = [...this.#strokes, this.#current];
    this.draw();
    this.onchange();
  }

  #move(event) {
    if (!this.#current) return;
    let added = false;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const point = this.#point(each);
      const last = this.#current.at(-1);
      if (Math.hypot(point[0] - last[0], point[1] - last[1]) < MIN_STEP) continue;
      // Only the new piece is drawn: a redraw of a long drawing could take longer than a frame.
      lines(this.context, [[last, point]], this.#color);
      this.#current.push(point);
      added = true;
    }
    if (added) this.onchange();
  }

  #end() {
    this.#current = null;
  }

  #show(shown) {
    this.#cursor.shown = shown;
    if (!shown) this.#lift();
    this.draw();
  }

  #lift() {
    this.#cursor.down = false;
  }

  #key(event) {
    if (event.ctrlKey && event.key === "z") {
      this.undo();
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    } else if (/^[0-9]$/.test(event.key)) {
      this.#lift();
      this.sample(Number(event.key));
    } else if (event.key.startsWith("Arrow")) {
      this.#step(event.key, event.shiftKey);
    } else if (event.key === " " || event.key === "Enter") {
      this.#cursor.down = !this.#cursor.down;
      if (this.#cursor.down) this.#mark(true);
    } else if (event.key === "Backspace" || event.key === "u") {
      this.#lift();
      this.undo();
    } else if (event.key === "Delete" || event.key === "c") {
      this.#lift();
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.#cursor.shown = true;
    this.draw();
  }

  #step(key, fast) {
    const by = fast ? 4 : 1;
    const { x, y } = this.#cursor;
    const bound = (value) => Math.min(CELLS - 1, Math.max(0, value));
    this.#cursor.x = bound(x + (key === "ArrowRight" ? by : 0) - (key === "ArrowLeft" ? by : 0));
    this.#cursor.y = bound(y + (key === "ArrowDown" ? by : 0) - (key === "ArrowUp" ? by : 0));
    if (this.#cursor.down) this.#mark(false);
  }

  #mark(fresh) {
    const point = [(this.#cursor.x + 0.5) / CELLS, (this.#cursor.y + 0.5) / CELLS];
    const last = this.#strokes.at(-1);
    this.strokes = fresh || !last ? [...this.#strokes, [point]] : [...this.#strokes.slice(0, -1), [...last, point]];
  }

  /** The state of the cursor in words, for those who do not see it. */
  get words() {
    const { x, y, down, shown } = this.#cursor;
    return shown ? `Column ${x + 1}, row ${y + 1}, pen ${down ? "down" : "up"}` : "";
  }
}

function lines(context, strokes, color) {
  context.lineWidth = WIDTH * SIDE;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = color;
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(stroke[0][0] * SIDE, stroke[0][1] * SIDE);
    // A line of length zero has no caps in some browsers.
    if (stroke.length === 1) context.lineTo(stroke[0][0] * SIDE + 0.01, stroke[0][1] * SIDE);
    for (const [x, y] of stroke.slice(1)) context.lineTo(x * SIDE, y * SIDE);
    context.stroke();
  }
}

function centred(strokes) {
  const points = strokes.flat();
  if (points.length === 0) return strokes;
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const extent = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const scale = extent > 0.02 ? (INK_PART - WIDTH) / extent : 1;
  let weight = 0;
  let [x, y] = [0, 0];
  for (const stroke of strokes) {
    stroke.forEach((point, index) => {
      const last = stroke[Math.max(0, index - 1)];
      const length = Math.hypot(point[0] - last[0], point[1] - last[1]) + 1e-6;
      weight += length;
      x += (length * (point[0] + last[0])) / 2;
      y += (length * (point[1] + last[1])) / 2;
    });
  }
  return strokes.map((stroke) => stroke.map((point) =>
    [0.5 + scale * (point[0] - x / weight), 0.5 + scale * (point[1] - y / weight)]));
}
