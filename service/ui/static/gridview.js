// A grid of numbers on a canvas, with the numbers in the cells if there is room, and marked cells.

import { decimal, h } from "./dom.js";
import { range, signed } from "./pixels.js";

const SIDE = 360; // of the canvas on the screen, at most
const READABLE = 26; // pixels of a cell that shows its number

export class GridView {
  /** `onpick(cell)` is called with the cell under a press of the pointer. */
  constructor(label, onpick = null) {
    this.label = label;
    this.canvas = h("canvas", { class: onpick ? "gridview pick" : "gridview", role: "img", "aria-label": label });
    this.rows = [[0]];
    if (onpick) {
      const pick = (event) => {
        if (event.type === "pointermove" && event.buttons === 0) return;
        const box = this.canvas.getBoundingClientRect();
        const at = (part, count) => Math.min(count - 1, Math.max(0, Math.floor(part * count)));
        onpick({
          x: at((event.clientX - box.left) / box.width, this.columns) - this.margin,
          y: at((event.clientY - box.top) / box.height, this.lines) - this.margin,
        });
      };
      this.canvas.addEventListener("pointerdown", pick);
      this.canvas.addEventListener("pointermove", pick);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /**
   * Show rows. `margin` cells of padding surround them; `marks` are `{y, x, height, width}` in cells, or lists of
   * single cells. With `signs`, negative numbers are blue and positive ones orange; otherwise larger is lighter.
   */
  show(rows, { margin = 0, marks = [], signs = false } = {}) {
    Object.assign(this, { rows, margin, marks, signs });
    this.lines = rows.length + 2 * margin;
    this.columns = (rows[0]?.length ?? 0) + 2 * margin;
    this.canvas.setAttribute("aria-label", `${this.label}: ${rows.length} by ${rows[0]?.length ?? 0}`);
    this.draw();
  }

  draw() {
    const { rows, margin, canvas } = this;
    if (!this.lines) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const cell = Math.max(2, Math.floor((SIDE * ratio) / Math.max(this.lines, this.columns)));
    canvas.width = cell * this.columns;
    canvas.height = cell * this.lines;
    canvas.style.setProperty("width", `${canvas.width / ratio}px`);
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const [low, high] = range(rows);
    const limit = Math.max(Math.abs(low), Math.abs(high)) || 1;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const gap = cell >= 20 * ratio ? Math.max(1, ratio) : 0;
    const written = cell / ratio >= READABLE;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let y = 0; y < this.lines; y += 1) {
      for (let x = 0; x < this.columns; x += 1) {
        const value = rows[y - margin]?.[x - margin];
        const [left, top] = [x * cell, y * cell];
        const inside = value !== undefined;
        context.fillStyle = inside ? this.#color(value, low, high, limit) : "transparent";
        if (inside) context.fillRect(left, top, cell - gap, cell - gap);
        else if (cell > 6) {
          context.strokeStyle = style.color;
          context.globalAlpha = 0.25;
          context.setLineDash([2 * ratio, 2 * ratio]);
          context.strokeRect(left + 1, top + 1, cell - gap - 2, cell - gap - 2);
          context.setLineDash([]);
          context.globalAlpha = 1;
        }
        if (!written) continue;
        const text = decimal(value ?? 0, 2);
        context.font = `${Math.min(cell * 0.4, (1.5 * cell) / Math.max(3, text.length))}px ${style.fontFamily}`;
        context.fillStyle = inside ? this.#text(value, low, high, limit, style) : style.color;
        context.fillText(text, left + (cell - gap) / 2, top + (cell - gap) / 2 + ratio);
      }
    }
    context.lineJoin = "round";
    for (const mark of this.marks) {
      const [x, y] = [(mark.x + margin) * cell, (mark.y + margin) * cell];
      const [width, height] = [(mark.width ?? 1) * cell - gap, (mark.height ?? 1) * cell - gap];
      for (const [line, color] of [[4.5, style.backgroundColor], [2.5, style.accentColor]]) {
        context.lineWidth = line * ratio;
        context.strokeStyle = color;
        context.strokeRect(x + ratio, y + ratio, width - 2 * ratio, height - 2 * ratio);
      }
    }
  }

  #shade(value, low, high) {
    return high === low ? (value > 0 ? 1 : 0) : (value - low) / (high - low);
  }

  #color(value, low, high, limit) {
    if (this.signs) {
      const [red, green, blue, alpha] = signed(value / limit);
      return `rgb(${red} ${green} ${blue} / ${(alpha / 255).toFixed(3)})`;
    }
    const level = Math.round(22 + 225 * this.#shade(value, Math.min(0, low), high));
    return `rgb(${level} ${level} ${level})`;
  }

  #text(value, low, high, limit, style) {
    if (this.signs) return Math.abs(value) / limit > 0.62 ? "#fff" : style.color;
    return this.#shade(value, Math.min(0, low), high) > 0.5 ? "#111" : "#fff";
  }
}
