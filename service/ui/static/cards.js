// The served models, and a page for each version: card, curves, confusion, kernels, robustness, provenance.

import { Failure, encode, pathOf, send } from "./api.js";
import { card, decimal, fill, h, integer, percent, table } from "./dom.js";
import { markdown } from "./markdown.js";
import { choose, keyOf, onModels, state, titleOf } from "./models.js";

const PICTURES = {
  "example.png": "An example image",
  "kernels.png": "Kernels of the first convolution",
  "curves.png": "Loss and accuracy during the training",
  "confusion.png": "Confusions on the test set",
  "reliability.png": "Calibration: confidence and accuracy",
  "mistakes.png": "Images that the network gets wrong",
};
// Names that would be read as text, and not as the picture that they are.
const nice = (name) => PICTURES[name] ?? name.replace(/\.png$/, "").replaceAll(/[-_]/g, " ");

export class ModelsPage {
  #path = [];
  #urls = [];

  constructor() {
    this.node = h("div", { class: "page" });
    onModels(() => this.node.isConnected && this.enter(this.#path));
  }

  enter(path) {
    this.#path = path;
    this.leave();
    const [name, version] = path;
    const found = state.models.filter((model) => model.name === name && (!version || model.version === version));
    if (name && found.length > 0) this.#detail(found.at(-1));
    else this.#list(name);
  }

  leave() {
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    this.#urls = [];
  }

  #list(missing) {
    const tile = (model) => {
      const { evaluation } = model.provenance;
      return h("li", {}, h("a", { class: "card tile", href: `#/models/${encode(model.name)}/${encode(model.version)}` },
        h("h2", {}, titleOf(model)),
        h("p", {}, model.description),
        h("p", { class: "big" }, evaluation ? percent(evaluation.accuracy, 2) : "–"),
        h("p", { class: "muted" }, evaluation
          ? `correct on ${integer(evaluation.examples)} test images of ${evaluation.dataset}` : "not evaluated")));
    };
    const failed = state.failed.map((failure) => h("li", { class: "card tile" },
      h("h2", {}, `${failure.name} v${failure.version}`), h("p", { class: "error" }, `Not served: ${failure.reason}.`)));
    fill(this.node, h("h1", {}, "Models"),
      missing && state.models.length ? h("p", { class: "error" }, "This model is not served.") : null,
      h("ul", { class: "tiles" }, state.models.map(tile), failed));
  }

  #detail(model) {
    const others = state.models.filter((each) => each.name === model.name && each !== model);
    const use = h("button", { type: "button", class: "primary", onclick: () => {
      choose(keyOf(model));
      location.hash = model.output.kind === "maps" ? "#/inside" : "#/classify";
    } }, "Try it");
    const pictures = h("div", { class: "evidence" });
    const text = h("div", { class: "prose" }, h("p", { class: "muted" }, "Loading the card …"));
    fill(this.node,
      h("p", {}, h("a", { href: "#/models" }, "All models")),
      h("header", { class: "title" }, h("div", {}, h("h1", {}, titleOf(model)), h("p", {}, model.description)), use),
      others.length === 0 ? null : h("p", { class: "muted" }, "Other versions: ", others.flatMap((each, index) => [index ? ", " : "",
        h("a", { href: `#/models/${encode(each.name)}/${encode(each.version)}` }, `v${each.version}`)])),
      figures(model), pictures,
      h("div", { class: "halves" }, card("Card", text), provenance(model)));
    this.#pictures(model, pictures);
    this.#card(model, text);
  }

  async #file(model, name) {
    return send(`${pathOf(model)}/files/${encode(name)}`);
  }

  async #pictures(model, parent) {
    const order = Object.keys(PICTURES);
    const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
    const names = (model.files ?? []).filter((name) => name.endsWith(".png")).sort((a, b) => rank(a) - rank(b));
    for (const name of names) {
      try {
        // An <img> could not send the key.
        const url = URL.createObjectURL(await (await this.#file(model, name)).blob());
        this.#urls.push(url);
        if (!parent.isConnected) return;
        const image = h("img", { src: url, alt: nice(name), onload: () => image.classList.toggle("tiny", image.naturalWidth < 100) });
        parent.append(h("figure", { class: "card" }, h("figcaption", {}, nice(name)),
          h("a", { href: url, download: name, title: "Save the picture" }, image)));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
    }
  }

  async #card(model, parent) {
    if (!(model.files ?? []).includes("README.md")) {
      fill(parent, h("p", { class: "muted" }, "The manifest of this version names no card."));
      return;
    }
    try {
      const text = await (await this.#file(model, "README.md")).text();
      fill(parent, markdown(text.replace(/^# .*\n/, ""), 2));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      fill(parent, h("p", { class: "error" }, error.message));
    }
  }
}

function figures(model) {
  const { evaluation, parity, onnx } = model.provenance;
  const { height, width, channels } = model.input;
  const size = height === null ? "any size" : `${height} × ${width}`;
  const all = [
    ["Accuracy", evaluation ? percent(evaluation.accuracy, 2) : "–"],
    ["Among the first five", evaluation ? percent(evaluation.top5, 2) : "–"],
    ["Calibration error", evaluation ? percent(evaluation.calibration_error, 2) : "–"],
    ["Parameters", integer(onnx.parameters)],
    ["Input", `${size}, ${channels === 1 ? "gray" : "colour"}`],
    ["Differs from Keras by", parity ? parity.max_abs_difference.toExponential(1) : "–"],
    ["Runs on", `${model.device}, ${model.threads} ${model.threads === 1 ? "thread" : "threads"}`],
    ["Loaded in", `${decimal(model.load_seconds, 2)} s`],
  ];
  return h("dl", { class: "card figures" }, all.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));
}

function provenance(model) {
  const { onnx, training, evaluation, weights, calibration, rewrites, quantization } = model.provenance;
  const rows = [
    ["Weights", weights],
    ["Graph", `${onnx.file}, opset ${onnx.opset}`],
    ["SHA-256", h("code", {}, onnx.sha256)],
    training && ["Trained on", `${training.dataset}, ${integer(training.examples)} images, ${training.epochs} epochs, seed ${training.seed}`],
    training && ["SHA-256 of the data", h("code", {}, training.dataset_sha256)],
    training && ["Training time", `${decimal(training.seconds / 60, 1)} minutes${training.trainer ? `, ${training.trainer}` : ""}`],
    training && ["Libraries", Object.entries(training.libraries).map(([name, version]) => `${name} ${version}`).join(", ")],
    evaluation && ["Tested on", `${evaluation.dataset}, ${integer(evaluation.examples)} images`],
    calibration && ["Temperature", decimal(calibration.temperature, 3)],
    rewrites?.length && ["Rewrites of the graph", rewrites.join(", ")],
    quantization && ["Precision", `${quantization.method}, from version ${quantization.parent}`],
    ["Labels", model.labels.slice(0, 60).join(", ") + (model.labels.length > 60 ? ` and ${model.labels.length - 60} more` : "")],
  ];
  return card("Provenance", table("Provenance", [], rows.filter(Boolean), false));
}
