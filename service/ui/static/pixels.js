// Pictures as arrays of numbers, and numbers as pictures.

import { pathOf, post } from "./api.js";
import { h } from "./dom.js";

/** The pixels of a PNG of the server, exactly: `{width, height, data}` with four bytes a pixel. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** What the network gets for a picture: the input byte for byte. */
export async function inputOf(model, blob) {
  return decode(await (await post(`${pathOf(model)}/input`, blob)).blob());
}

/** One channel of an image as rows of numbers. */
export function channel(image, index = 0) {
  const { width, height, data } = image;
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => data[4 * (y * width + x) + index]));
}

/** A canvas that shows pixels as squares. */
export function pixelCanvas(label) {
  return h("canvas", { class: "pixels", role: "img", "aria-label": label, width: 1, height: 1 });
}

export function paint(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paint rows of numbers in gray, from `low` to `high`; by default from the smallest to the largest. */
export function paintGray(canvas, rows, low = Infinity, high = -Infinity) {
  if (low > high) [low, high] = range(rows);
  const span = high - low || 1;
  paintWith(canvas, rows, (value) => {
    const shade = (255 * (value - low)) / span;
    return [shade, shade, shade, 255];
  });
}

/** Paint rows of signed numbers: orange above zero, blue below, nothing at zero. */
export function paintSigned(canvas, rows, most = 0) {
  const [low, high] = range(rows);
  const limit = most || Math.max(Math.abs(low), Math.abs(high)) || 1;
  paintWith(canvas, rows, (value) => signed(value / limit));
}

/** The color of a number between -1 and 1. */
export function signed(part) {
  const strength = Math.min(1, Math.abs(part)) ** 0.8;
  return part >= 0 ? [224, 93, 20, 255 * strength] : [37, 99, 235, 255 * strength];
}

function paintWith(canvas, rows, color) {
  const image = new ImageData(rows[0].length, rows.length);
  rows.forEach((row, y) => row.forEach((value, x) => image.data.set(color(value), 4 * (y * row.length + x))));
  paint(canvas, image);
}

export function range(rows) {
  let low = Infinity;
  let high = -Infinity;
  for (const row of rows) {
    for (const value of row) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

/** The picture as a small PNG of at most `side` pixels, for models that take any size. */
export async function shrunk(blob, side) {
  const bitmap = await createImageBitmap(blob);
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}
