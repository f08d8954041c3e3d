// Looks inside: the steps of a convolution, fixed kernels, and the layers of the chosen network.

import { h, segmented, select } from "./dom.js";
import { FiltersView } from "./filters.js";
import { LayersView } from "./layers.js";
import { choose, keyOf, onModels, options, state } from "./models.js";
import { onSubject } from "./subject.js";
import { StepView } from "./step.js";

const VIEWS = [["steps", "Step by step"], ["layers", "Layers"], ["kernels", "Fixed kernels"]];

export class InsidePage {
  #view = "steps";

  constructor() {
    this.views = { steps: new StepView(), kernels: new FiltersView(), layers: new LayersView() };
    this.tabs = segmented("What to see", VIEWS, this.#view, (view) => { location.hash = `#/inside/${view}`; });
    this.models = select("Network", [], "", choose);
    this.content = h("div", {});
    this.node = h("div", { class: "page" },
      h("div", { class: "title" }, h("h1", {}, "Look inside"), this.models.node),
      this.tabs.node, this.content);
    const refresh = () => this.node.isConnected && this.enter([this.#view]);
    onModels(refresh);
    onSubject(refresh);
  }

  enter([view]) {
    const list = options();
    this.models.control.replaceChildren(...list.map(([value, text]) => h("option", { value }, text)));
    if (state.chosen) this.models.control.value = keyOf(state.chosen);
    const chosen = view in this.views ? view : "steps";
    if (chosen !== this.#view) this.leave();
    this.#view = chosen;
    this.tabs.choose(chosen);
    this.content.replaceChildren(this.views[chosen].node);
    this.views[chosen].enter();
  }

  leave() {
    this.views[this.#view].leave?.();
  }
}
