// Convolution, ReLU and pooling on rows of numbers, as the networks compute them.

/** Units along an axis: floor((n + 2p − d(k − 1) − 1) / s) + 1; at least 0. */
export const unitsAlong = (n, { kernel, stride, padding, dilation }) =>
  Math.max(0, Math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);

/** The pixels that a unit sees: rows of `{y, x, value}`; `value` is 0 in the padding. */
export function patchAt(rows, size, unit, { stride, padding, dilation }) {
  return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (__, j) => {
    const y = unit.y * stride - padding + i * dilation;
    const x = unit.x * stride - padding + j * dilation;
    return { y, x, value: rows[y]?.[x] ?? 0 };
  }));
}

/** The sum of products of a patch with a kernel. */
export const product = (patch, kernel) =>
  patch.reduce((sum, row, i) => sum + row.reduce((part, { value }, j) => part + value * kernel[i][j], 0), 0);

const map2 = (height, width, value) =>
  Array.from({ length: height }, (_, y) => Array.from({ length: width }, (__, x) => value({ y, x })));

/** The map of one kernel: `channels` and `kernels` are lists of rows, one for each channel. */
export function convolve(channels, kernels, bias, options) {
  const size = kernels[0].length;
  const along = { ...options, kernel: size };
  const height = unitsAlong(channels[0].length, along);
  const width = unitsAlong(channels[0][0].length, along);
  return map2(height, width, (unit) => channels.reduce((sum, rows, index) =>
    sum + product(patchAt(rows, size, unit, options), kernels[index]), bias));
}

export const relu = (rows) => rows.map((row) => row.map((value) => Math.max(0, value)));

/** Max or average pooling without padding. */
export function pool(rows, { kernel, stride, kind }) {
  const options = { kernel, stride, padding: 0, dilation: 1 };
  return map2(unitsAlong(rows.length, options), unitsAlong(rows[0].length, options), (unit) => {
    const values = patchAt(rows, kernel, unit, options).flat().map(({ value }) => value);
    return kind === "max" ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0) / values.length;
  });
}

const divided = (rows) => {
  const sum = rows.flat().reduce((total, value) => total + value, 0);
  return rows.map((row) => row.map((value) => value / sum));
};

/** Kernels that were not learned: the four of the model `filters`, and two more. */
export const FIXED = {
  diagonal: { title: "Example of the slides", rows: [[1, 0, 1], [0, 1, 0], [1, 0, 1]] },
  edges: { title: "Edges", rows: [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]] },
  sharpened: { title: "Sharpen", rows: [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]] },
  gaussian: {
    title: "Gaussian",
    rows: divided([[1, 2, 3, 2, 1], [2, 4, 5, 4, 2], [3, 5, 6, 5, 3], [2, 4, 5, 4, 2], [1, 2, 3, 2, 1]]),
  },
  smoothed: { title: "Smooth", rows: divided([[1, 1, 1], [1, 2, 1], [1, 1, 1]]) },
  vertical: { title: "Vertical edges", rows: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]] },
};

export const EXAMPLE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]];
