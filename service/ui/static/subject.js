// The picture that the visitor looks at, shared by the pages.

const listeners = new Set();

/** `blob`, `name`, `drawing` (its strokes, or null for a file), and a counter. */
export const subject = { blob: null, name: "", strokes: null, serial: 0 };

export const onSubject = (listener) => listeners.add(listener);

export function setSubject(blob, name, strokes = null) {
  Object.assign(subject, { blob, name, strokes, serial: subject.serial + 1 });
  listeners.forEach((listener) => listener());
}
