// The page on which a visitor draws or drops pictures and reads the answers.

import { Answer } from "./answer.js";
import { Newest } from "./api.js";
import { CodeLines } from "./code.js";
import { h, percent, select } from "./dom.js";
import { History } from "./history.js";
import { Many } from "./many.js";
import { choose, find, keyOf, onModels, options, state, titleOf } from "./models.js";
import { Pad } from "./pad.js";
import { onSubject, setSubject, subject } from "./subject.js";
import { Why } from "./why.js";

const REST_MS = 900; // after which a drawing counts as finished, for the history and those who listen
const HELP = "Draw with a pointer or finger. With the keyboard: arrows move, Space puts the pen down and lifts it, "
  + "0 to 9 draw a sample, Backspace undoes, Delete clears.";

export class ClassifyPage {
  #rest = 0;
  #epoch = 0; // changes when a drawing ends: it is cleared, or a file takes its place
  #making = new Newest();
  #asked = null; // the last request, which ends with its answer
  #other = null;

  constructor() {
    this.pad = new Pad(() => this.#drawn());
    this.answer = new Answer((model, prediction) => this.#answered(model, prediction));
    this.second = new Answer((model, prediction) => this.#answered(model, prediction));
    this.second.node.hidden = true;
    this.code = new CodeLines();
    this.many = new Many();
    this.why = new Why();
    this.history = new History((entry) => {
      const model = state.models.find((each) => titleOf(each) === entry.title);
      if (model) choose(keyOf(model));
    });
    this.said = h("p", { class: "hidden", role: "status", "aria-live": "polite" });
    this.cursor = h("p", { class: "hidden", role: "status", "aria-live": "polite" });
    this.pad.canvas.addEventListener("keyup", () => { this.cursor.textContent = this.pad.words; });
    this.node = h("div", { class: "page classify" },
      h("h1", { class: "hidden" }, "Classify images"),
      this.#input(),
      h("div", { class: "answers" }, this.answer.node, this.second.node, this.why.node),
      h("div", { class: "wide" }, this.many.node, this.history.node, this.code.node),
      this.said, this.cursor);
    this.#accept();
    onModels(() => this.#modelsChanged());
    onSubject(() => this.#subjectChanged());
    this.#clear();
    this.#modelsChanged();
  }

  leave() {
    this.why.leave();
  }

  #input() {
    const model = select("Model", [], "", (key) => choose(key));
    const other = select("Compare with", [], "", (key) => this.#compare(find(key)));
    this.models = model.control;
    this.others = other.control;
    this.file = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true,
      onchange: () => this.#open(this.file.files) });
    this.camera = h("input", { type: "file", accept: "image/*", capture: "environment", hidden: true,
      onchange: () => this.#open(this.camera.files) });
    this.photo = h("img", { class: "photo", alt: "", hidden: true, onerror: () => this.photo.classList.add("broken") });
    this.frame = h("div", { class: "frame" }, this.pad.canvas, this.photo,
      h("p", { class: "hint", "aria-hidden": "true" }, "Draw a digit, or drop pictures"));
    const button = (text, action, kind = "") => h("button", { type: "button", class: kind, onclick: action }, text);
    this.undo = button("Undo", () => this.pad.undo());
    const centre = h("input", { type: "checkbox", checked: true, onchange: () => {
      this.pad.centre = centre.checked;
      this.#drawn();
    } });
    this.tools = h("div", { class: "row tools" }, this.undo, button("Clear", () => this.#clear()),
      h("label", { class: "check" }, centre, "Centre the drawing"));
    return h("section", { class: "card input", "aria-label": "Your picture" },
      h("div", { class: "fields" }, model.node, other.node),
      this.frame,
      h("p", { id: "pad-help", class: "hidden" }, HELP),
      this.tools,
      h("div", { class: "digits", role: "group", "aria-label": "Draw a sample digit" }, Array.from({ length: 10 }, (_, digit) =>
        h("button", { type: "button", "aria-label": `Draw a ${digit}`, onclick: () => this.#sample(digit) }, String(digit)))),
      h("div", { class: "row" },
        button("Choose pictures", () => this.file.click(), "primary"),
        button("Take a photograph", () => this.camera.click(), "touch"),
        this.file, this.camera),
      h("p", { class: "muted" }, "or paste one. Pictures go to this server only."));
  }

  #accept() {
    const over = (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      this.frame.classList.add("over");
    };
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", () => this.frame.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      this.frame.classList.remove("over");
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      location.hash = "#/classify";
      this.#open(event.dataTransfer.files);
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length === 0) return;
      event.preventDefault();
      location.hash = "#/classify";
      this.#open(files);
    });
  }

  #open(files) {
    if (files.length === 1) {
      this.many.clear();
      setSubject(files[0], files[0].name);
    } else if (files.length > 1) {
      const chosen = [...files];
      this.many.show(chosen, state.chosen);
      setSubject(chosen[0], chosen[0].name);
      this.many.node.scrollIntoView({ block: "nearest" });
    }
    this.file.value = this.camera.value = "";
  }

  #sample(digit) {
    this.pad.sample(digit);
  }

  #clear() {
    this.pad.clear();
  }

  #drawn() {
    this.#showPhoto(null);
    if (this.pad.empty) {
      this.#epoch += 1;
      setSubject(null, "");
      return;
    }
    // One picture is in the making or in flight: a fast pen makes many more changes than there are answers.
    const epoch = this.#epoch;
    this.#making.run(async () => {
      const blob = await this.pad.blob();
      if (epoch !== this.#epoch) return;
      setSubject(blob, "drawing.png", this.pad.strokes);
      await this.#asked;
    });
  }

  #showPhoto(blob) {
    if (this.photo.src) URL.revokeObjectURL(this.photo.src);
    this.photo.hidden = blob === null;
    this.photo.classList.remove("broken");
    if (blob === null) {
      this.photo.removeAttribute("src");
    } else {
      this.photo.src = URL.createObjectURL(blob);
      this.photo.alt = subject.name;
    }
    this.frame.classList.toggle("has-photo", blob !== null);
    this.frame.classList.toggle("has-drawing", blob === null && !this.pad.empty);
  }

  #subjectChanged() {
    if (subject.blob && !subject.strokes) {
      this.#epoch += 1;
      this.pad.forget();
      this.#showPhoto(subject.blob);
    } else if (subject.strokes && subject.strokes !== this.pad.strokes) {
      this.pad.strokes = subject.strokes; // comes back here with the picture of these lines
      return;
    }
    this.#ask();
  }

  #modelsChanged() {
    const list = options();
    this.models.replaceChildren(...list.map(([value, text]) => h("option", { value }, text)));
    const others = [["", "Nothing"], ...list];
    this.others.replaceChildren(...others.map(([value, text]) => h("option", { value }, text)));
    if (state.chosen) this.models.value = keyOf(state.chosen);
    this.others.value = this.#other ? keyOf(this.#other) : "";
    if (this.answer.model !== state.chosen) {
      this.answer.use(state.chosen);
      this.many.ask(state.chosen);
      this.#ask();
    }
  }

  #compare(model) {
    this.#other = model;
    this.second.node.hidden = model === null;
    this.node.classList.toggle("two", model !== null);
    this.second.use(model);
    this.second.clear();
    if (model && subject.blob) this.second.ask(subject.blob);
  }

  #ask() {
    clearTimeout(this.#rest);
    this.undo.disabled = this.pad.empty;
    if (!subject.blob) {
      this.answer.clear();
      this.second.clear();
      this.why.clear();
      this.said.textContent = "";
      return;
    }
    this.#asked = this.answer.ask(subject.blob);
    if (this.#other) this.second.ask(subject.blob);
    if (state.chosen) this.why.ask(state.chosen, subject.blob);
    if (state.chosen) this.code.show(state.chosen, subject.name);
  }

  #answered(model, prediction) {
    clearTimeout(this.#rest);
    if (!subject.blob) return;
    const serial = subject.serial;
    this.#rest = setTimeout(() => {
      if (serial !== subject.serial) return;
      this.history.add(model, prediction);
      this.said.textContent = `${titleOf(model)} says ${prediction.label}, ${percent(prediction.probability)}.`;
    }, subject.strokes ? REST_MS : 0);
  }
}

