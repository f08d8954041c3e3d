// The served versions, and which of them the visitor has chosen.

import { json } from "./api.js";

const listeners = new Set();

export const state = { models: [], failed: [], chosen: null };

export const onModels = (listener) => listeners.add(listener);
export const titleOf = (model) => `${model.name} v${model.version}`;
export const keyOf = (model) => `${model.name}/${model.version}`;
export const find = (key) => state.models.find((model) => keyOf(model) === key) ?? null;
export const classifiers = () => state.models.filter((model) => model.output.kind !== "maps");

/** Ask which versions are served; the choice stays if it still exists. */
export async function load() {
  const answer = await json("models");
  state.models = answer.models;
  state.failed = answer.failed;
  const kept = state.chosen && find(keyOf(state.chosen));
  const defaults = classifiers().filter((model) => model.name === answer.default);
  state.chosen = kept ?? defaults.at(-1) ?? classifiers().at(-1) ?? null;
  listeners.forEach((listener) => listener());
}

export function choose(key) {
  state.chosen = find(key);
  listeners.forEach((listener) => listener());
}

/** `[value, text]` pairs of classifiers for a select. */
export const options = () => classifiers().map((model) => [keyOf(model), `${model.name} v${model.version}`]);
