// Live figures of the server, from its own metrics, with the visitor's key.

import { send } from "./api.js";
import { decimal, fill, h, integer } from "./dom.js";
import { state } from "./models.js";
import { between, reading } from "./metrics.js";

const EVERY_MS = 2000;
const WINDOW_MS = 10_000; // over which rates and quantiles are computed
const POINTS = 45; // of a curve
const SVG = "http://www.w3.org/2000/svg";

async function read() {
  const response = await send("metrics", { headers: { Accept: "text/plain" }, cache: "no-store" });
  return reading(await response.text(), performance.now());
}

/** False if the visitor's key or this port forbids the figures. */
export async function mayRead() {
  try {
    await read();
    return true;
  } catch (error) {
    return ![401, 403, 404].includes(error.status);
  }
}

export class ServerPage {
  #timer = 0;
  #readings = [];
  #curves = new Map();
  #rows = new Map();

  constructor() {
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.list = h("ul", { class: "live" });
    this.note = h("p", { class: "muted" }, "Measured over the last 10 seconds, read every 2 seconds while this page is shown.");
    this.node = h("div", { class: "page" }, h("h1", {}, "The server now"), this.error, this.list, this.note);
    document.addEventListener("visibilitychange", () => {
      if (this.node.isConnected && !document.hidden) this.enter();
    });
  }

  enter() {
    clearTimeout(this.#timer);
    this.#tick();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#readings = [];
  }

  async #tick() {
    try {
      const last = await read();
      this.#readings = [...this.#readings.filter(({ time }) => last.time - time <= WINDOW_MS + EVERY_MS / 2), last];
      this.error.hidden = true;
      this.#show();
    } catch (error) {
      this.#readings = [];
      this.error.hidden = false;
      this.error.textContent = error.status === 404 ? "This port does not serve the figures." : error.message;
    }
    if (this.node.isConnected && !document.hidden) this.#timer = setTimeout(() => this.#tick(), EVERY_MS);
  }

  #show() {
    const [first, last] = [this.#readings[0], this.#readings.at(-1)];
    for (const name of [...new Set(state.models.map((model) => model.name))]) {
      if (!last.models.has(name)) continue;
      if (!this.#rows.has(name)) this.#add(name);
      const figures = between(first, last, name);
      const curve = this.#curves.get(name);
      curve.push(figures.rate);
      if (curve.length > POINTS) curve.shift();
      this.#rows.get(name)(figures, curve);
    }
  }

  #add(name) {
    const line = document.createElementNS(SVG, "polyline");
    const area = document.createElementNS(SVG, "polygon");
    const curve = document.createElementNS(SVG, "svg");
    curve.setAttribute("viewBox", "0 0 100 30");
    curve.setAttribute("preserveAspectRatio", "none");
    curve.setAttribute("aria-hidden", "true");
    curve.append(area, line);
    const values = Object.fromEntries(FIGURES.map(([key]) => [key, h("dd", {}, "–")]));
    this.list.append(h("li", { class: "card" },
      h("h2", {}, h("a", { href: `#/models/${encodeURIComponent(name)}` }, name)),
      h("dl", { class: "figures" }, FIGURES.map(([key, title]) => h("div", {}, h("dt", {}, title), values[key]))),
      curve));
    this.#curves.set(name, Array(POINTS).fill(0));
    this.#rows.set(name, (figures, points) => {
      for (const [key, , write] of FIGURES) values[key].textContent = write(figures[key]);
      const most = Math.max(1, ...points);
      const path = points.map((value, index) =>
        `${((100 * (POINTS - points.length + index)) / (POINTS - 1)).toFixed(2)},${(29 - (27 * value) / most).toFixed(2)}`);
      line.setAttribute("points", path.join(" "));
      area.setAttribute("points", [`${path[0].split(",")[0]},30`, ...path, "100,30"].join(" "));
    });
  }
}

const ms = (seconds) => (seconds === null ? "–" : `${decimal(1000 * seconds, 1)} ms`);
const FIGURES = [
  ["rate", "Requests a second", (value) => decimal(value, value < 10 ? 1 : 0)],
  ["p50", "Median time", ms],
  ["p99", "99 of 100 within", ms],
  ["batch", "Images a batch", (value) => (value === null ? "–" : decimal(value, 1))],
  ["depth", "Queue", integer],
  ["flight", "In flight", integer],
  ["errors", "Errors a second", (value) => decimal(value, 1)],
];
